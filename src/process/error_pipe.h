// How a child that does not share memory tells why it could not execute: a pipe that closes on exec.
#pragma once

#include <sys/types.h>

#include "posix/pipe.h"
#include "process/rung.h"

namespace exec::inline v0::process {

// Makes the pipe and puts its writing end into the plan. False with the errno in `made` if there is none to be had.
bool open_error_pipe(posix::pipe_ends& ends, child_plan& plan, birth& made);

// After the birth: closes our writing end and reads what the child said until it has executed or ended.
start_record read_error_pipe(posix::pipe_ends& ends, child_plan& plan, const birth& made);

}  // namespace exec::inline v0::process

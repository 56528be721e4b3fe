// machine: what the figures were measured on.
#pragma once

#include "harness/json.h"

namespace bench {

// An object: cpu, cores, memory, kernel, compiler, load.
void write_machine(json& out);

// The load of the last minute; below zero where nobody knows it.
double load_of_machine() noexcept;

}  // namespace bench

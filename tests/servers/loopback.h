// TCP sockets of 127.0.0.1. All of them are close-on-exec; what fails throws.
#pragma once

#include "posix/fd.h"

namespace test {

// Listens at `port`; 0 = one that is free. Accepting from it never blocks.
exec::posix::fd listen_on_loopback(int port = 0);
int port_of(const exec::posix::fd& socket);
// Has begun to connect to `port`, and never blocks: a refusal is seen at the first read or write.
exec::posix::fd connect_to_loopback(int port);

// A port that was free a moment ago. Somebody else may take it before you do.
int free_port();

// Closes the connection by a reset instead of an end of stream.
void reset_connection(exec::posix::fd& socket);

}  // namespace test

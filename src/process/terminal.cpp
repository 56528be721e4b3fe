#include "process/terminal.h"

#include "posix/syscalls.h"

#include <cerrno>

#include <fcntl.h>
#include <sys/ioctl.h>

// From <asm-generic/ioctls.h>; the C library's header may lack it.
#ifndef TIOCGPTPEER
#define TIOCGPTPEER _IO('T', 0x41)
#endif

namespace exec::inline v0::process {
namespace {

failure refused(const char* step) { return os_failure(errno, stage::descriptors, step); }

winsize native(terminal_size size) noexcept { return {size.rows, size.columns, 0, 0}; }

}  // namespace

result<terminal_pair> open_terminal(terminal_size size) {
    const auto& sys = posix::sys();
    terminal_pair made;
    made.master = posix::fd(sys.open_at(AT_FDCWD, "/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK, 0));
    if (!made.master) return refused("/dev/ptmx");
    const int locked = 0;
    if (sys.ioctl(made.master.get(), TIOCSPTLCK, const_cast<int*>(&locked)) != 0) return refused("terminal: unlock");
    // By descriptor, not by name: right also where another devpts is mounted at /dev/pts.
    made.slave =
        posix::fd(sys.ioctl(made.master.get(), TIOCGPTPEER,
                            reinterpret_cast<void*>(static_cast<std::intptr_t>(O_RDWR | O_NOCTTY | O_CLOEXEC))));
    if (!made.slave) return refused("terminal: the child's end");
    // What a host that closed its own streams prints must not become input of the command.
    for (auto* end : {&made.master, &made.slave}) {
        auto raised = posix::above_stdio(std::move(*end));
        if (!raised) return std::move(raised).error();
        *end = *std::move(raised);
    }
    if (auto sized = resize_terminal(made.master.get(), size); !sized) return std::move(sized).error();
    return made;
}

result<void> resize_terminal(int master, terminal_size size) {
    auto window = native(size);
    if (posix::sys().ioctl(master, TIOCSWINSZ, &window) != 0) return refused("terminal: size");
    return {};
}

}  // namespace exec::inline v0::process

#include "harness/machine.h"

#include <sys/utsname.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <string>

namespace bench {
namespace {

std::string cpu_model() {
    std::ifstream file("/proc/cpuinfo");
    for (std::string line; std::getline(file, line);) {
        if (line.starts_with("model name") || line.starts_with("CPU part")) return line.substr(line.find(':') + 2);
    }
    return "unknown";
}

}  // namespace

double load_of_machine() noexcept {
    double load = 0;
    return ::getloadavg(&load, 1) == 1 ? load : -1;
}

void write_machine(json& out) {
    utsname system{};
    ::uname(&system);
    const double bytes = static_cast<double>(::sysconf(_SC_PHYS_PAGES)) * static_cast<double>(::sysconf(_SC_PAGESIZE));
    out.begin('{').key("cpu").text(cpu_model());
    out.key("cores").number(static_cast<double>(::sysconf(_SC_NPROCESSORS_ONLN)));
    out.key("memory_gib").number(bytes / (1024.0 * 1024 * 1024));
    out.key("kernel").text(std::string(system.sysname) + ' ' + system.release + ' ' + system.machine);
#if defined(__clang__)
    out.key("compiler").text("clang " __clang_version__);
#else
    out.key("compiler").text("g++ " __VERSION__);
#endif
    out.key("load").number(load_of_machine()).end('}');
}

}  // namespace bench

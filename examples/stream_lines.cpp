// Print what a command says, line by line as it says it, numbered, and stop it after the fifth line.
#include <cstdio>

#include "exec/lines.h"
#include "exec/local_runner.h"
#include "exec/shell.h"

namespace {

class numbered final : public exec::observer {
   public:
    exec::flow on_output(exec::stream from, std::uint64_t, exec::bytes_view bytes) override {
        if (from != exec::stream::out) return exec::flow::more;
        lines_.feed(bytes, [this](const exec::line& line) { print(line); });
        return count_ < wanted ? exec::flow::more : exec::flow::stop;
    }
    int count() const { return count_; }

   private:
    static constexpr int wanted = 5;

    void print(const exec::line& line) {
        if (count_ >= wanted) return;
        std::printf("%3d  %.*s\n", ++count_, static_cast<int>(line.text.size()), line.text.data());
    }
    exec::line_splitter lines_{};
    int count_ = 0;
};

}  // namespace

int main() {
    numbered tell;
    // A shell runs only because it is asked for by name.
    const auto script = exec::shell_script(exec::shell::sh, "i=0; while :; do i=$((i+1)); echo line $i; done");
    const auto ran = exec::run({.program_and_args = script.value()}, {}, tell);
    if (!ran) return 1;
    std::printf("stopped by %s after %llu bytes\n", std::string(to_string(ran->stopped_by)).c_str(),
                static_cast<unsigned long long>(ran->out.total));
    return tell.count() == 5 && ran->stopped_by == exec::stop_reason::cancelled ? 0 : 1;
}

// Run 200 commands, at most 16 at a time, on one thread and no other.
#include <cstdio>
#include <memory>
#include <stop_token>
#include <string>

#include "exec/local_runner.h"

namespace {

constexpr int wanted = 200;
constexpr int at_once = 16;

struct fleet {
    exec::runner& runner;
    std::stop_source over{};
    int started = 0;
    int ended = 0;
    int good = 0;

    void start_next();
};

class member final : public exec::observer {
   public:
    member(fleet& of, int number) : of_(of), number_(number) {}
    void on_done(exec::result<exec::outcome> how) override {
        ++of_.ended;
        if (how && how->ok() && how->out.bytes == std::to_string(number_) + "\n") ++of_.good;
        of_.start_next();
        if (of_.ended == wanted) of_.over.request_stop();
    }

   private:
    fleet& of_;
    int number_;
};

void fleet::start_next() {
    if (started == wanted) return;
    const int number = started++;
    auto handle = runner.start({.program_and_args = exec::argv("echo", std::to_string(number))}, {},
                               std::make_unique<member>(*this, number));
    handle.detach();  // nobody stops it: let it run, keep telling the observer
}

}  // namespace

int main() {
    const auto loop = exec::make_loop().value();
    const auto runner = exec::make_local_runner(*loop).value();
    fleet all{*runner};
    for (int i = 0; i < at_once; ++i) all.start_next();

    loop->run(all.over.get_token());
    std::printf("%d of %d commands said what they should\n", all.good, wanted);
    return all.good == wanted ? 0 : 1;
}

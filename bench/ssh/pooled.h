// pooled: ours, a runner over a pool of sessions on a loop that this thread drives.
#pragma once

#include <cstdint>
#include <memory>
#include <stop_token>

#include <exec/command.h>
#include <exec/limits.h>
#include <exec/loop.h>
#include <exec/observer.h>
#include <exec/outcome.h>
#include <exec/ssh/pool.h>
#include <exec/ssh/runner.h>

#include "sides/side.h"

namespace bench {

class pooled final : public flight {
   public:
    explicit pooled(exec::ssh::endpoint to, exec::ssh::pool_options pool = {}, exec::ssh::runner_options runner = {});
    ~pooled() override;

    // One command, to its end. Ends the program where it did not run.
    exec::outcome run_one(exec::command what, exec::limits within = {});
    // The same, told to somebody else; he calls finished().
    void run_one(exec::command what, exec::limits within, std::unique_ptr<exec::observer> tell);
    void finished() { enough_.request_stop(); }
    exec::ssh::pool_stats stats() const { return pool_->stats(); }

    using flight::run;
    void start(words what) override;
    void drive_until(std::size_t ended) override;
    void kill_all() override {}
    void kill_after(std::chrono::milliseconds) override {}

   private:
    class listener;
    class last_word;

    std::unique_ptr<exec::loop> loop_;
    std::unique_ptr<exec::ssh::pool> pool_;
    std::shared_ptr<exec::runner> runner_;
    std::stop_source enough_{std::nostopstate};
    std::size_t target_ = 0;
};

exec::command command_of(words what);

}  // namespace bench

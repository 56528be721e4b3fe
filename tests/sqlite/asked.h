// A trail as a test asks it: one question, one answer.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <deque>
#include <future>
#include <memory>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include <exec/executor.h>
#include <exec/sqlite/audit_trail.h>

namespace test {

template <class T>
class expected {
   public:
    exec::reply<T> reply() {
        return [to = std::make_shared<std::promise<exec::result<T>>>(std::move(promise_))](exec::result<T> answer) {
            to->set_value(std::move(answer));
        };
    }
    bool is_there() const { return answer_.wait_for(std::chrono::seconds(0)) == std::future_status::ready; }
    exec::result<T> get() {
        if (answer_.wait_for(std::chrono::seconds(60)) != std::future_status::ready) {
            throw std::runtime_error("no answer in a minute");
        }
        return answer_.get();
    }

   private:
    std::promise<exec::result<T>> promise_{};
    std::future<exec::result<T>> answer_ = promise_.get_future();
};

inline exec::result<void> begin(exec::audit_sink& trail, const exec::audit_record& what) {
    expected<void> answer;
    trail.begin(what, answer.reply());
    return answer.get();
}
inline exec::result<void> finish(exec::audit_sink& trail, const exec::audit_id& of, const exec::audit_end& how) {
    expected<void> answer;
    trail.finish(of, how, answer.reply());
    return answer.get();
}
inline exec::result<void> note(exec::audit_sink& trail, const exec::audit_record& what, const exec::audit_end& how) {
    expected<void> answer;
    trail.note(what, how, answer.reply());
    return answer.get();
}
inline exec::result<std::optional<exec::audit_seen>> find(exec::audit_sink& trail, const exec::audit_record& what) {
    expected<std::optional<exec::audit_seen>> answer;
    trail.find(what, answer.reply());
    return answer.get();
}
inline exec::result<std::vector<exec::audit_row>> query(exec::audit_trail& trail, exec::audit_filter which = {}) {
    expected<std::vector<exec::audit_row>> answer;
    trail.query(std::move(which), answer.reply());
    return answer.get();
}
inline exec::result<std::uint64_t> forget_before(exec::audit_trail& trail, exec::audit_time time) {
    expected<std::uint64_t> answer;
    trail.forget_before(time, answer.reply());
    return answer.get();
}

inline exec::audit_id numbered(std::uint64_t number) {
    exec::audit_id::bits bits{};
    std::memcpy(bits.data(), &number, sizeof number);
    bits[15] = 1;
    return exec::audit_id(bits);
}

inline exec::audit_record record(std::uint64_t number) {
    exec::audit_record what;
    what.id = numbered(number);
    what.who.subject = "user:ada";
    what.who.tenant = "acme";
    what.target = exec::target_id("build-7");
    what.redacted_argv = {"git", "status"};
    return what;
}

inline exec::audit_end ended_well() {
    exec::outcome how;
    how.exit = exec::exit_status::exited(0);
    return exec::audit_end_of(how);
}

// A trail with threads of its own.
struct trail_host {
    explicit trail_host(exec::sqlite_audit_options options, std::size_t threads = 2)
        : work(exec::make_thread_executor(threads).value()), made([&] {
              options.blocking = work.get();
              return exec::make_sqlite_audit(options);
          }()) {}
    explicit trail_host(const std::string& path) : trail_host(exec::sqlite_audit_options{.path = path}) {}

    exec::audit_trail& trail() { return *made.value(); }

    std::unique_ptr<exec::executor> work;
    exec::result<std::unique_ptr<exec::audit_trail>> made;
};

// Does its work when it is told, in the test's thread; from release() on, in one of its own.
class held_executor final : public exec::executor {
   public:
    void execute(exec::callback<void()> work) override {
        const std::lock_guard hold(mutex_);
        if (released_) return then_->execute(std::move(work));
        held_.push_back(std::move(work));
    }
    void go_on() {
        while (waiting() > 0) {
            exec::callback<void()> work;
            {
                const std::lock_guard hold(mutex_);
                work = std::move(held_.front());
                held_.pop_front();
            }
            work();
        }
    }
    void release() {
        const std::lock_guard hold(mutex_);
        released_ = true;
        for (auto& work : held_) then_->execute(std::move(work));
        held_.clear();
    }
    // Destroys what waits, as an executor does that is going away.
    void drop() {
        std::deque<exec::callback<void()>> unwanted;
        const std::lock_guard hold(mutex_);
        unwanted.swap(held_);
    }
    std::size_t waiting() const {
        const std::lock_guard hold(mutex_);
        return held_.size();
    }

   private:
    mutable std::mutex mutex_;
    std::unique_ptr<exec::executor> then_ = exec::make_thread_executor(1).value();
    std::deque<exec::callback<void()>> held_{};
    bool released_ = false;
};

}  // namespace test

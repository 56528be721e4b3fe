#include "exec/sqlite/audit_trail.h"

#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <string>
#include <utility>
#include <vector>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "posix/syscalls.h"
#include "sqlite/columns.h"
#include "sqlite/lane.h"
#include "sqlite/reading.h"
#include "sqlite/writing.h"

namespace exec::inline v0::sqlite {
namespace {

result<void> check(const sqlite_audit_options& options) {
    if (options.path.empty()) return fail(errc::invalid_argument, "audit trail: no path");
    if (options.path.find('\0') != std::string::npos)
        return fail(errc::invalid_argument, "audit trail: NUL in the path");
    if (options.blocking == nullptr) {
        return fail(errc::invalid_argument, "audit trail: SQLite blocks, and there is no executor to do it on");
    }
    if (options.most_waiting == 0 || options.answer_within <= milliseconds::zero()) {
        return fail(errc::invalid_argument, "audit trail: most_waiting and answer_within must be above 0");
    }
    return {};
}

// The path with its directories resolved: those may be symbolic links, the file may not.
result<std::string> resolved(const std::string& path) {
    const auto slash = path.rfind('/');
    const auto directory = slash == std::string::npos ? "." : slash == 0 ? "/" : path.substr(0, slash);
    char* real = ::realpath(std::string(directory).c_str(), nullptr);
    if (real == nullptr) return os_failure(errno, stage::none, "audit trail " + path);
    std::string whole = real;
    std::free(real);  // NOLINT: realpath allocates so
    if (whole != "/") whole += '/';
    return whole += slash == std::string::npos ? path : path.substr(slash + 1);
}

// Without opening it: to close a descriptor of the file would take its locks from another trail of this process. SQLite makes
// the files beside it with the same mode.
result<void> make_private_file(const std::string& path) {
    if (posix::sys().make_node_at(AT_FDCWD, path.c_str(), S_IFREG | 0600, 0) == 0 || errno == EEXIST) return {};
    return os_failure(errno, stage::none, "audit trail " + path);
}

class trail final : public audit_trail {
   public:
    trail(const sqlite_audit_options& options, writing writes, reading reads)
        : patience_(options.answer_within),
          owner_(::getpid()),
          parts_(new parts{std::move(writes), std::move(reads), nullptr, nullptr}) {
        parts_->writes = std::make_shared<lane<write_job>>(
            *options.blocking, options.most_waiting, [all = parts_.get()](auto& jobs) { all->writer.work(jobs); });
        parts_->reads = std::make_shared<lane<read_job>>(*options.blocking, options.most_waiting,
                                                         [all = parts_.get()](auto& jobs) { all->reader.work(jobs); });
    }
    ~trail() override {
        if (is_forked()) {
            (void)parts_.release();  // its locks are the parent's, and a checkpoint would be as well
            return;
        }
        (void)parts_->writes->push({settle_job{}, deadline()}, bound::none);
        parts_->writes->close();
        parts_->reads->close();
    }

    void begin(const audit_record& what, reply<void> answer) override {
        push(*parts_->writes, begin_job{begun_columns(what), std::nullopt, std::move(answer)});
    }
    void finish(const audit_id& of, const audit_end& how, reply<void> answer) override {
        push(*parts_->writes, finish_job{of, ended_columns(how), std::move(answer)}, bound::none);
    }
    void note(const audit_record& what, const audit_end& how, reply<void> answer) override {
        push(*parts_->writes, begin_job{begun_columns(what), ended_columns(how), std::move(answer)});
    }
    void find(const audit_record& with_key, reply<std::optional<audit_seen>> answer) override {
        auto lookup = lookup_of(with_key);
        if (lookup.empty()) return answer(fail(errc::invalid_argument, "audit trail: no idempotency key to find"));
        push(*parts_->reads, find_job{std::move(lookup), std::move(answer)});
    }
    void query(audit_filter which, reply<std::vector<audit_row>> answer) override {
        push(*parts_->reads, query_job{std::move(which), std::move(answer)});
    }
    void forget_before(audit_time time, reply<std::uint64_t> answer) override {
        push(*parts_->writes, forget_job{time.time_since_epoch().count(), 0, 0, std::move(answer)});
    }

   private:
    struct parts {
        writing writer;
        reading reader;
        std::shared_ptr<lane<write_job>> writes;
        std::shared_ptr<lane<read_job>> reads;
    };

    bool is_forked() const noexcept { return ::getpid() != owner_; }
    time_point deadline() const { return saturating_add(std::chrono::steady_clock::now(), patience_); }

    template <class Any, class Job>
    void push(lane<Any>& to, Job job, bound up_to = bound::most_waiting) {
        Any one{std::move(job), deadline()};
        if (is_forked()) return std::get<Job>(one.what).owed(forked());
        if (!to.push(std::move(one), up_to)) std::get<Job>(one.what).owed(full());
    }
    static failure forked() {
        return fail(errc::wrong_state, "audit trail: of the process that this one was forked from");
    }
    static failure full() { return fail(errc::too_busy, "audit trail: the queue is full"); }

    const milliseconds patience_;
    const pid_t owner_;
    std::unique_ptr<parts> parts_;
};

}  // namespace
}  // namespace exec::inline v0::sqlite

namespace exec::inline v0 {

result<std::unique_ptr<audit_trail>> make_sqlite_audit(sqlite_audit_options options) {
    if (auto wrong = sqlite::check(options); !wrong) return std::move(wrong).error();
    if (sqlite3_threadsafe() == 0) return fail(errc::unsupported, "audit trail: a SQLite that knows no threads");
    const auto path = sqlite::resolved(options.path);
    if (!path) return path.error();
    if (auto made = sqlite::make_private_file(*path); !made) return std::move(made).error();
    auto writes = sqlite::writing::open(options, *path);
    if (!writes) return std::move(writes).error();
    auto reads = sqlite::reading::open(*path);
    if (!reads) return std::move(reads).error();
    return std::unique_ptr<audit_trail>(
        std::make_unique<sqlite::trail>(options, *std::move(writes), *std::move(reads)));
}

}  // namespace exec::inline v0

// How many calls a second does the trail of lines record, against the bare writes and syncs of lines as long?
#include <exec/json_lines_audit.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <future>
#include <string>
#include <thread>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "harness/report.h"
#include "harness/rounds.h"

namespace {

using exec::audit_sync;

constexpr bench::seconds each_turn{0.3};
constexpr std::uint32_t in_flight = 64;

// A folder that ends with its turn.
class folder {
   public:
    folder() {
        if (::mkdtemp(name_.data()) == nullptr) std::abort();
    }
    ~folder() {
        for (const auto* file : {"trail", "trail.1", "trail.lock"}) ::unlink(path(file).c_str());
        ::rmdir(name_.c_str());
    }
    std::string path(const std::string& file) const { return name_ + "/" + file; }

   private:
    std::string name_ = "/var/tmp/exec_audit_XXXXXX";  // on a disk, where /tmp may be memory
};

// Of ordinary size: both lines together are about 1 KB.
exec::audit_record record(std::uint32_t number) {
    exec::audit_record made;
    made.id = exec::audit_id({1, static_cast<std::uint8_t>(number >> 24U), static_cast<std::uint8_t>(number >> 16U),
                              static_cast<std::uint8_t>(number >> 8U), static_cast<std::uint8_t>(number)});
    made.who = {"user:ada", "acme", {"developer"}, "5f0c3a52-7d43-4e0c-9d59-5fb1d3a8a1c7", ""};
    made.target = exec::target_id("build-7");
    made.redacted_argv = {"git", "-C", "/srv/repository", "log", "--oneline", "--max-count=20"};
    made.env_names = {"PATH", "HOME", "LANG", "GIT_PAGER"};
    made.cwd = "/srv/repository";
    return made;
}
exec::audit_end ending() {
    exec::audit_end made;
    made.status = exec::audit_status::ok;
    made.ran = made.complete = true;
    made.exit = exec::exit_status::exited(0);
    made.where = "build-7:22";
    made.tree = exec::tree_state::group_gone;
    made.out_bytes = 1234;
    made.took = {exec::nanoseconds(120'000),
                 {},
                 exec::nanoseconds(5'300'000),
                 exec::nanoseconds(40'000),
                 exec::nanoseconds(5'600'000)};
    return made;
}

exec::json_lines_options options_of(const folder& in, audit_sync sync, exec::executor* on, bool chain = false) {
    exec::json_lines_options options;
    options.path = in.path("trail");
    options.sync = sync;
    options.blocking = on;
    options.chain = chain;
    options.max_file_bytes = exec::unlimited_bytes;
    return options;
}

std::size_t bytes_of_a_call() {
    const folder in;
    const auto trail = exec::make_json_lines_audit(options_of(in, audit_sync::none, nullptr)).value();
    const auto size = [&] {
        struct stat is {};
        ::stat(in.path("trail").c_str(), &is);
        return static_cast<std::size_t>(is.st_size);
    };
    const auto before = size();
    trail->begin(record(1), [](auto) {});
    trail->finish(record(1).id, ending(), [](auto) {});
    return size() - before;
}

// Two lines a call; `calls_a_sync` calls share an fdatasync, 0: none is made.
bench::turn bare(std::size_t bytes, std::size_t calls_a_sync) {
    return [=](bool) -> std::vector<double> {
        const folder in;
        const int file = ::open(in.path("trail").c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
        const std::string line(bytes / 2, 'x');
        std::size_t calls = 0;
        const auto began = bench::now();
        const auto sync = [&] {
            if (calls_a_sync != 0 && ::fdatasync(file) != 0) std::abort();
        };
        const auto times = bench::repeat_for(each_turn, [&] {
            for (int half = 0; half < 2; ++half) {
                if (::write(file, line.data(), line.size()) < 0) std::abort();
                if (calls_a_sync == 1) sync();
            }
            if (++calls % (std::max<std::size_t>)(calls_a_sync, 1) == 0 && calls_a_sync != 1) sync(), sync();
        });
        const auto took = bench::now() - began;
        ::close(file);
        return {static_cast<double>(times) / took};
    };
}

bench::turn written(bool chain) {
    return [=](bool) -> std::vector<double> {
        const folder in;
        const auto trail = exec::make_json_lines_audit(options_of(in, audit_sync::none, nullptr, chain)).value();
        auto what = record(1);
        const auto how = ending();
        const auto answered = [](exec::result<void> done) {
            if (!done) std::abort();
        };
        const auto began = bench::now();
        const auto times = bench::repeat_for(each_turn, [&] {
            trail->begin(what, answered);
            trail->finish(what.id, how, answered);
        });
        return {static_cast<double>(times) / (bench::now() - began)};
    };
}

// `lanes` calls at a time, each begins, finishes when that is safe, and is followed by the next.
class lanes {
   public:
    lanes(exec::json_lines_audit& trail, std::uint32_t count) : trail_(trail), left_(count) {
        for (std::uint32_t lane = 0; lane < count; ++lane) next(lane);
    }
    void stop() {
        stopping_ = true;
        done_.get_future().wait();
    }
    std::size_t finished() const { return finished_; }

   private:
    void next(std::uint32_t lane) {
        trail_.begin(record(lane), [this, lane](exec::result<void> begun) {
            if (!begun) std::abort();
            trail_.finish(record(lane).id, ending(), [this, lane](exec::result<void> ended) {
                if (!ended) std::abort();
                ++finished_;
                if (!stopping_) return next(lane);
                if (--left_ == 0) done_.set_value();
            });
        });
    }

    exec::json_lines_audit& trail_;
    std::atomic<std::uint32_t> left_;
    std::atomic<std::size_t> finished_{0};
    std::atomic<bool> stopping_{false};
    std::promise<void> done_{};
};

bench::turn synced(audit_sync sync, std::uint32_t at_a_time) {
    return [=](bool) -> std::vector<double> {
        const folder in;
        const auto thread = exec::make_thread_executor(1).value();
        const auto trail = exec::make_json_lines_audit(options_of(in, sync, thread.get())).value();
        const auto began = bench::now();
        lanes calls(*trail, at_a_time);
        std::this_thread::sleep_for(each_turn);
        calls.stop();
        return {static_cast<double>(calls.finished()) / (bench::now() - began)};
    };
}

}  // namespace

int main(int argc, char** argv) {
    bench::report report("audit_lines", "a call's two lines in the audit trail", argc, argv);
    const auto bytes = bytes_of_a_call();
    const auto got = bench::in_turns(
        report.rounds(7), {bare(bytes, 0), written(false), written(true), bare(bytes, in_flight),
                           synced(audit_sync::group, in_flight), bare(bytes, 1), synced(audit_sync::each, 1)});
    const std::pair<const char*, bench::kind> sides[] = {{"two bare writes", bench::kind::floor},
                                                         {"exec, no sync", bench::kind::ours},
                                                         {"exec, no sync, chained", bench::kind::ours},
                                                         {"bare, 64 lines a fdatasync", bench::kind::floor},
                                                         {"exec, group, 64 calls in flight", bench::kind::ours},
                                                         {"bare, a fdatasync a line", bench::kind::floor},
                                                         {"exec, each", bench::kind::ours}};
    report.column("calls/s", 0);
    for (std::size_t side = 0; side < got.size(); ++side) {
        report.row(sides[side].first, sides[side].second, {bench::median(got[side][0])});
    }
    report.note(std::to_string(bytes) + " bytes a call");
    report.at_least("no sync, of two bare writes", bench::ratio(got[1][0], got[0][0]), 0.8);
    report.at_least("group, of bare groups", bench::ratio(got[4][0], got[3][0]), 0.8);
    report.at_least("each, of bare syncs", bench::ratio(got[6][0], got[5][0]), 0.8);
    return report.finish();
}

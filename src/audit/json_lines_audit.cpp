#include <exec/json_lines_audit.h>

#include <exec/detail/sha256.h>
#include <exec/json_text.h>

#include <cerrno>
#include <deque>
#include <mutex>
#include <optional>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "audit/trail_file.h"
#include "audit/trail_line.h"
#include "audit/writer.h"

namespace exec::inline v0::audit {
namespace {

// What stands in the file, and what is owed to it. For one thread at a time.
class trail {
   public:
    trail(const json_lines_options& options, trail_file file, lock_file lock, writer_id who)
        : chained_(options.chain),
          file_(std::move(file)),
          lock_(std::move(lock)),
          who_(std::move(who)),
          who_text_(instance_text(who_.instance)) {
        if (!options.chain_key.empty()) keyed_.emplace(options.chain_key);
    }

    // Ends what dead writers left open, and says who writes now.
    result<void> begin() {
        auto alone = lock_.wait();
        if (!alone) return std::move(alone).error();
        alone_ = true;
        auto done = take_over();
        alone_ = false;
        return done;
    }

    // Whatever is owed comes first.
    // Fails with: what the file answers; nothing of `body` counts then.
    result<void> write(std::string_view body) {
        if (auto paid = pay(); !paid) return paid;
        if (const auto second = clock_.second(); std::exchange(looked_, second) != second) file_.follow();
        return put(body);
    }
    // A line that must be written, as soon as that is possible; until then nothing is begun.
    void owe(std::string body) { owed_.push_back(std::move(body)); }
    result<void> pay() {
        while (!owed_.empty()) {
            if (auto paid = put(owed_.front()); !paid) return paid;
            owed_.pop_front();
        }
        return {};
    }
    result<void> sync() { return file_.sync(); }
    result<void> reopen() { return file_.reopen(); }

   private:
    result<void> take_over() {
        file_.follow();  // it was opened before the others were kept from moving it
        if (auto living = lock_.live_as(who_.instance); !living) return living;
        std::unordered_map<audit_id, std::uint64_t> open;
        auto read = file_.read_all([&](std::string_view line) {
            const auto facts = read_line(line);
            if (!facts) return;
            if (facts->what == line_facts::kind::begin) open.emplace(facts->id, facts->writer);
            if (facts->what == line_facts::kind::end) open.erase(facts->id);
            if (chained_) last_ = digest_of(facts->text);
        });
        if (!read) return read;
        std::string body;
        append_writer(body, who_);
        if (auto written = put(body); !written) return written;
        audit_end end;
        end.status = audit_status::interrupted;
        end.ran = true;
        end.began = started::unknown;
        for (const auto& [id, writer] : open) {
            const auto lives = lock_.lives(writer);
            if (!lives) return lives.error();
            if (*lives) continue;
            body.clear();
            append_end(body, id, end);
            if (auto written = put(body); !written) return written;
        }
        return file_.sync();
    }

    std::string digest_of(std::string_view line) const {
        return detail::hex_of(keyed_ ? (*keyed_)(line) : detail::sha256::of(line));
    }

    // One line, with its place in the chain.
    result<void> put(std::string_view body) {
        line_ = "{\"v\":1,\"t\":\"";
        clock_.append_now(line_);
        line_.append("\",\"w\":\"").append(who_text_).append("\",\"seq\":");
        append_json_number(line_, sequence_);
        if (chained_) line_.append(",\"prev\":\"").append(last_) += '"';
        line_ += ',';
        line_ += body;
        line_ += "}\n";
        if (file_.is_full(line_.size())) {
            if (alone_)
                file_.rotate(line_.size());
            else if (const auto alone = lock_.attempt())
                file_.rotate(line_.size());
        }
        if (auto written = file_.append(line_); !written) return written;
        ++sequence_;
        if (chained_) last_ = digest_of(std::string_view(line_).substr(0, line_.size() - 1));
        return {};
    }

    bool chained_;
    bool alone_ = false;  // the guard of the lock file is held
    std::optional<detail::hmac_sha256> keyed_{};
    trail_file file_;
    lock_file lock_;
    writer_id who_;
    std::string who_text_;
    std::uint64_t sequence_ = 1;
    std::string last_{};  // of the line before; at first of the last line of anybody's
    line_clock clock_{};
    std::int64_t looked_ = -1;
    std::string line_{};
    std::deque<std::string> owed_{};
};

// One call of a sink: its line, or the two of a note.
struct entry {
    std::optional<audit_id> begins{};
    std::string body{};
    std::string note_end{};
    bool ends = false;
    reply<void> answer{};
};

class core : public std::enable_shared_from_this<core> {
   public:
    core(trail lines, const json_lines_options& options)
        : lines_(std::move(lines)), sync_(options.sync), blocking_(options.blocking) {}
    ~core() { (void)lines_.pay(); }
    core(const core&) = delete;
    core& operator=(const core&) = delete;

    void submit(entry one) {
        if (blocking_ == nullptr) {
            auto done = [&] {
                const std::lock_guard held(file_mutex_);
                return write(one);
            }();
            return one.answer(std::move(done));
        }
        {
            const std::lock_guard held(queue_mutex_);
            queue_.push_back(std::move(one));
            if (std::exchange(scheduled_, true)) return;
        }
        schedule();
    }
    result<void> reopen() {
        const std::lock_guard held(file_mutex_);
        return lines_.reopen();
    }

   private:
    // Owed to the queue: an executor that refuses work destroys it uncalled.
    class turn {
       public:
        explicit turn(std::shared_ptr<core> of) noexcept : core_(std::move(of)) {}
        turn(turn&&) noexcept = default;
        turn& operator=(turn&&) = delete;
        ~turn() {
            if (core_) core_->abandon();
        }
        void operator()() { std::exchange(core_, nullptr)->run_batch(); }

       private:
        std::shared_ptr<core> core_;
    };

    void schedule() { blocking_->execute(turn(shared_from_this())); }

    void abandon() {
        std::deque<entry> unwritten;  // their replies answer broken_reply
        std::unique_lock held(queue_mutex_);
        scheduled_ = false;
        unwritten.swap(queue_);
        held.unlock();
        const std::lock_guard writing(file_mutex_);
        for (auto& one : unwritten) {
            if (one.ends) lines_.owe(std::move(one.body));
        }
    }

    void run_batch() {
        std::vector<entry> batch;
        {
            constexpr std::size_t most = 64;
            const std::lock_guard held(queue_mutex_);
            while (!queue_.empty() && batch.size() < (sync_ == audit_sync::each ? 1 : most)) {
                batch.push_back(std::move(queue_.front()));
                queue_.pop_front();
            }
        }
        std::vector<result<void>> done;
        done.reserve(batch.size());
        {
            const std::lock_guard held(file_mutex_);
            for (auto& one : batch) done.push_back(write(one));
            if (sync_ != audit_sync::none) {
                if (const auto synced = lines_.sync(); !synced) unsynced(batch, done, synced.error());
            }
        }
        const bool more = [this] {
            const std::lock_guard held(queue_mutex_);
            scheduled_ = !queue_.empty();
            return scheduled_;
        }();
        if (more) schedule();
        for (std::size_t at = 0; at < batch.size(); ++at) batch[at].answer(std::move(done[at]));
    }

    result<void> write(entry& one) {
        auto done = lines_.write(one.body);
        if (!done) {
            if (one.ends) lines_.owe(std::move(one.body));
            return done;
        }
        if (one.note_end.empty()) return done;
        done = lines_.write(one.note_end);
        if (!done) lines_.owe(std::move(one.note_end));
        return done;
    }

    // Their calls do not run, though they may stand in the file as begun.
    void unsynced(const std::vector<entry>& batch, std::vector<result<void>>& done, const failure& why) {
        for (std::size_t at = 0; at < batch.size(); ++at) {
            if (!done[at]) continue;
            done[at] = why;
            if (!batch[at].begins || !batch[at].note_end.empty()) continue;
            audit_end end;
            end.code = why.code;
            end.context = "the record could not be synced";
            std::string body;
            append_end(body, *batch[at].begins, end);
            lines_.owe(std::move(body));
        }
    }

    std::mutex file_mutex_{};
    trail lines_;
    const audit_sync sync_;
    executor* const blocking_;

    std::mutex queue_mutex_{};
    std::deque<entry> queue_{};
    bool scheduled_ = false;
};

class sink final : public json_lines_audit {
   public:
    explicit sink(std::shared_ptr<core> of) noexcept : core_(std::move(of)) {}

    void begin(const audit_record& what, reply<void> answer) override {
        entry one;
        one.begins = what.id;
        append_begin(one.body, what);
        one.answer = std::move(answer);
        core_->submit(std::move(one));
    }
    void finish(const audit_id& of, const audit_end& how, reply<void> answer) override {
        entry one;
        one.ends = true;
        append_end(one.body, of, how);
        one.answer = std::move(answer);
        core_->submit(std::move(one));
    }
    void note(const audit_record& what, const audit_end& how, reply<void> answer) override {
        entry one;
        one.begins = what.id;
        append_begin(one.body, what);
        append_end(one.note_end, what.id, how);
        one.answer = std::move(answer);
        core_->submit(std::move(one));
    }
    result<void> reopen() override { return core_->reopen(); }

   private:
    std::shared_ptr<core> core_;
};

result<void> check(const json_lines_options& options) {
    if (options.path.empty()) return fail(errc::invalid_argument, "audit trail: no path");
    if (options.sync != audit_sync::none && options.blocking == nullptr) {
        return fail(errc::invalid_argument, "audit trail: a sync blocks, and there is no executor to do it on");
    }
    if (options.max_file_bytes == 0 || options.kept == 0) {
        return fail(errc::invalid_argument, "audit trail: max_file_bytes and kept must not be 0");
    }
    return {};
}

}  // namespace
}  // namespace exec::inline v0::audit

namespace exec::inline v0 {

result<std::unique_ptr<json_lines_audit>> make_json_lines_audit(json_lines_options options) {
    if (auto wrong = audit::check(options); !wrong) return std::move(wrong).error();
    auto file = audit::trail_file::open(options);
    if (!file) return std::move(file).error();
    auto lock = audit::lock_file::open(file->directory(), file->name() + ".lock");
    if (!lock) return std::move(lock).error();
    auto who = audit::new_writer();
    if (!who) return std::move(who).error();
    audit::trail lines(options, *std::move(file), *std::move(lock), *std::move(who));
    if (auto begun = lines.begin(); !begun) return std::move(begun).error();
    return std::unique_ptr<json_lines_audit>(
        std::make_unique<audit::sink>(std::make_shared<audit::core>(std::move(lines), options)));
}

}  // namespace exec::inline v0

#include "ssh/marker.h"

#include "posix/syscalls.h"

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <system_error>

namespace exec::inline v0::ssh {
namespace {

constexpr char first_byte = '\036';

// The words up to the next blank, taken off `rest`.
std::string_view next_word(std::string_view& rest) {
    const auto blank = (std::min)(rest.find(' '), rest.size());
    const auto word = rest.substr(0, blank);
    rest.remove_prefix((std::min)(blank + 1, rest.size()));
    return word;
}

// Fills in pid and leads. 0 and 1 are refused: kill would take -0 for its own group and -1 for everybody.
bool read_process(std::string_view words, report& into) {
    const auto number = next_word(words);
    const auto [end, wrong] = std::from_chars(number.data(), number.data() + number.size(), into.pid);
    if (wrong != std::errc{} || end != number.data() + number.size() || into.pid <= 1) return false;
    into.leads = words == "leader";
    return into.leads || words == "shared";
}

bool read_refusal(std::string_view words, report& into) {
    const auto stage = next_word(words);
    if (stage == "program") {
        into.at = refusal::program;
    } else if (stage == "cwd") {
        into.at = refusal::cwd;
    } else if (stage == "terminal") {
        into.at = refusal::terminal;
    } else if (stage == "environment") {
        into.at = refusal::environment;
    } else {
        return false;
    }
    into.os_error = words == "none" ? ENOENT : words == "denied" ? EACCES : words == "notdir" ? ENOTDIR : 0;
    return into.os_error != 0;
}

// Strict: a shell that shows the wrapper's text as it runs it (`set -v`) shows these words with others around them.
std::optional<report> read_words(std::string_view words) {
    report said;
    const auto verb = next_word(words);
    if (verb == "go") {
        said.what = report::kind::go;
        if (words.empty() || read_process(words, said)) return said;
    } else if (verb == "pid") {
        said.what = report::kind::pid;
        if (read_process(words, said)) return said;
    } else if (verb == "ready") {
        said.what = report::kind::ready;
        if (read_process(words, said)) return said;
    } else if (verb == "fail") {
        said.what = report::kind::refused;
        if (read_refusal(words, said)) return said;
    }
    return std::nullopt;
}

}  // namespace

result<nonce> make_nonce() {
    unsigned char random[std::tuple_size_v<nonce> / 2];
    if (posix::sys().random(random, sizeof random, 0) != static_cast<ssize_t>(sizeof random)) {
        return fail(errc::too_busy, "no random bytes");
    }
    nonce made{};
    constexpr char digits[] = "0123456789abcdef";
    for (std::size_t at = 0; at < sizeof random; ++at) {
        made[2 * at] = digits[random[at] >> 4];
        made[2 * at + 1] = digits[random[at] & 15];
    }
    return made;
}

marker_filter::marker_filter(const nonce& mark) noexcept {
    prefix_.front() = first_byte;
    std::copy(mark.begin(), mark.end(), prefix_.begin() + 1);
    prefix_.back() = ' ';
}

std::string_view marker_filter::last_words() const noexcept {
    const std::string_view all(last_words_);
    return all.substr(all.size() - (std::min)(all.size(), max_last_words));
}

std::optional<report> marker_filter::cut(bytes_view& rest) {
    while (!rest.empty()) {
        if (held_bytes_ == 0) {
            const auto start = (std::min)(rest.find(first_byte), rest.size());
            noise(rest.substr(0, start));
            rest.remove_prefix(start);
            if (noise_bytes_ > max_noise) {
                state_ = state::over;
                rest = {};
                return report{};
            }
            if (rest.empty()) break;
        }
        const char byte = rest.front();
        const bool fits = held_bytes_ < prefix_bytes ? byte == prefix_[held_bytes_]
                                                     : byte != first_byte && held_bytes_ < held_.size();
        if (!fits && byte != '\n') {
            // The byte itself may begin a marker.
            not_a_marker();
            continue;
        }
        rest.remove_prefix(1);
        if (byte == '\n') {
            if (auto said = end_of_line()) return said;
        } else {
            held_[held_bytes_++] = byte;
        }
    }
    return std::nullopt;
}

std::optional<report> marker_filter::end_of_line() {
    std::string_view words;
    if (held_bytes_ > prefix_bytes) words = {held_.data() + prefix_bytes, held_bytes_ - prefix_bytes};
    if (!words.empty() && words.back() == '\r') words.remove_suffix(1);
    const auto said = read_words(words);
    if (!said) {
        not_a_marker();
        noise("\n");
        return std::nullopt;
    }
    held_bytes_ = 0;
    if (said->what == report::kind::go) {
        state_ = state::open;
        last_words_ = {};
    }
    if (said->what == report::kind::refused) state_ = state::over;
    return said;
}

void marker_filter::not_a_marker() {
    noise({held_.data(), held_bytes_});
    held_bytes_ = 0;
}

void marker_filter::noise(bytes_view bytes) {
    noise_bytes_ += bytes.size();
    bytes.remove_prefix(bytes.size() - (std::min)(bytes.size(), max_last_words));
    // Twice the room, so that the old half moves out once in a while and not with every chunk.
    if (last_words_.size() + bytes.size() > 2 * max_last_words) {
        last_words_.erase(0, last_words_.size() - (std::min)(last_words_.size(), max_last_words));
    }
    last_words_.append(bytes);
}

}  // namespace exec::inline v0::ssh

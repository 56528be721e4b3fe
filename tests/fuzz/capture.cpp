// Any policy, any pieces, any mixture of append, window and skip: capture agrees with a copy of the whole stream.
#include <exec/capture.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>

namespace {

using namespace exec;

// The bytes of the stream since the last skip, everything before the first one, and the length of it all.
struct whole_stream {
    std::string before_skip, after_skip;
    std::size_t total = 0;
    bool skipped = false;

    void append(bytes_view data) {
        if (!skipped) before_skip += data;
        after_skip += data;
        total += data.size();
    }
    void skip(std::size_t n) {
        if (n == 0) return;
        skipped = true;
        after_skip.clear();
        total += n;
    }
    captured kept(const capture_policy& policy) const {
        captured out;
        out.total = total;
        if (policy.kept != keep::nothing && !skipped && total <= policy.cap) {
            out.bytes = before_skip;
            out.gap_at = total;
            return out;
        }
        const auto head = policy.kept == keep::head            ? policy.cap
                          : policy.kept == keep::head_and_tail ? policy.cap / 2
                                                               : 0;
        out.bytes = before_skip.substr(0, head);
        out.gap_at = out.bytes.size();
        if (policy.kept == keep::tail || policy.kept == keep::head_and_tail) {
            const auto tail = std::min(policy.cap - out.bytes.size(), after_skip.size());
            out.bytes += after_skip.substr(after_skip.size() - tail);
        }
        out.truncated = out.bytes.size() != total;
        return out;
    }
};

void demand(bool condition) {
    if (!condition) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size < 3) return 0;
    capture_policy policy;
    policy.kept = static_cast<keep>(data[0] % 4);
    // Small caps reach every branch of the ring; the large ones reach the rotation by blocks.
    policy.cap = data[0] & 0x80 ? data[1] * std::size_t{257} + data[2] : data[1];
    capture real(policy);
    whole_stream model;
    char next = 0;
    for (std::size_t i = 3; i + 1 < size; i += 2) {
        const std::size_t n = data[i] & 0x80 ? data[i + 1] * std::size_t{61} : data[i + 1];
        if (data[i] % 3 == 0 && data[i] % 5 == 0) {
            real.skip(n);
            model.skip(n);
        } else {
            std::string piece(n, '\0');
            for (auto& byte : piece) byte = next++;
            bytes_view rest = piece;
            if (const auto window = real.window(); data[i] % 2 == 0 && !window.empty()) {
                const auto taken = rest.copy(window.data(), window.size());
                real.wrote(taken);
                rest.remove_prefix(taken);
            }
            real.append(rest);
            model.append(piece);
        }
        demand(real.total() == model.total);
        demand(real.over() == (model.total > policy.cap));
    }
    const bool wanted = real.wants_more();
    const auto before = model.kept(policy);
    demand(capture(real).take(true) == before);
    // What wants_more() promised about one more byte.
    model.append("x");
    demand(wanted == (model.kept(policy).tail_at() < model.total || model.kept(policy).gap_at == model.total));
    return 0;
}

// The runner conformance kit: how every runner has to behave, as one table of named rows.
//
// For the tests of whoever writes a runner. Describe yours in a conformance_subject, call check_conformance(), and fail
// your test if `violations` is not empty. What the runner's can() denies must be refused with errc::unsupported, and is
// counted as refused; which rows those are is for your test to pin, so that a capability cannot be lost unnoticed.
// The far side needs a POSIX shell, the usual small programs (cat, sleep with fractions, seq, wc, stty) and /proc.
// Threads: the kit works in the calling thread and, for rows about threads, in one more. No test framework is needed.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "exec/testing/conformance/before.h"
#include "exec/testing/conformance/bench.h"
#include "exec/testing/conformance/handle.h"
#include "exec/testing/conformance/input.h"
#include "exec/testing/conformance/observing.h"
#include "exec/testing/conformance/output.h"
#include "exec/testing/conformance/pausing.h"
#include "exec/testing/conformance/shutdown.h"
#include "exec/testing/conformance/subject.h"
#include "exec/testing/conformance/terminal.h"
#include "exec/testing/conformance/time.h"
#include "exec/testing/conformance/tree.h"

namespace exec::inline v0::testing {

struct conformance_violation {
    std::string row{};
    std::string sentence{};  // what was promised and not kept, with what was seen instead
};

struct conformance_report {
    std::vector<std::string> kept{};
    std::vector<std::string> refused{};  // with errc::unsupported, as the runner's can() says
    std::vector<conformance_violation> violations{};

    std::size_t total() const noexcept { return kept.size() + refused.size() + violations.size(); }
    // "local runner, blocking: 96 kept, 2 refused, 98 in all", then one line for each refusal and violation.
    std::string text(std::string_view name) const {
        auto lines = std::string(name) + ": " + std::to_string(kept.size()) + " kept, " +
                     std::to_string(refused.size()) + " refused, " + std::to_string(total()) + " in all\n";
        for (const auto& row : refused) lines += "  refused: " + row + '\n';
        for (const auto& each : violations) lines += "  violated: " + each.row + ": " + each.sentence + '\n';
        return lines;
    }
};

// Every row, in the order of the contract.
inline std::vector<conformance::row> conformance_rows() {
    std::vector<conformance::row> all;
    for (const auto& part :
         {conformance::before_rows(), conformance::output_rows(), conformance::input_rows(), conformance::time_rows(),
          conformance::tree_rows(), conformance::observing_rows(), conformance::pausing_rows(),
          conformance::handle_rows(), conformance::terminal_rows(), conformance::shutdown_rows()}) {
        all.insert(all.end(), part.begin(), part.end());
    }
    return all;
}

// Plays the rows that the subject can be asked, one after the other; blocks until all are played, each for at most a few
// times the subject's patience. `progress`, if any, is told each row's name and "kept", "refused" or the violation.
inline conformance_report check_conformance(
    const conformance_subject& subject,
    const std::function<void(std::string_view row, std::string_view verdict)>& progress = {}) {
    conformance_report report;
    for (const auto& row : conformance_rows()) {
        if (!conformance::applies(row, subject) || (subject.only && !subject.only(row.name))) continue;
        conformance::bench here(subject, row);
        row.play(here);
        const auto verdict = here.verdict();
        if (verdict.empty()) {
            (here.refused() ? report.refused : report.kept).emplace_back(row.name);
        } else {
            report.violations.push_back({row.name, verdict});
        }
        if (progress) progress(row.name, !verdict.empty() ? verdict : here.refused() ? "refused" : "kept");
    }
    return report;
}

}  // namespace exec::inline v0::testing

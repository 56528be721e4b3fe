// One command as it was asked of a scripted_runner, and what will be played for it.
// Threads: values.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "exec/capabilities.h"
#include "exec/error.h"
#include "exec/testing/script.h"
#include "exec/testing/scripted/mailbox.h"

namespace exec::inline v0::testing::scripted {

// What is true of every command of one runner.
struct place {
    capabilities can{};
    std::string where{};
};

struct order {
    std::shared_ptr<mailbox> asked{};
    std::shared_ptr<const script> plays{};
    std::optional<failure> refused{};  // then nothing is played
    std::shared_ptr<const place> at{};
    std::int64_t pid = 0;
};

}  // namespace exec::inline v0::testing::scripted

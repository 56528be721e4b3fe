// A provider that makes a key for each login.
#include <chrono>
#include <memory>
#include <string>
#include <utility>

#include "exec/assert.h"
#include "exec/display.h"
#include "exec/error.h"
#include "exec/ssh/credentials.h"
#include "ssh/secret.h"

namespace exec::inline v0::ssh {
namespace {

failure of_grant(failure why, const login_request& who) {
    if (why.at == stage::none) why.at = stage::grant;
    if (why.context.empty()) {
        why.context = "the key for " + display(who.user, 64) + "@" + display(who.host, 128) + " was not granted";
    }
    return why;
}

class minting_provider final : public provider {
   public:
    using push_function = callback<void(const grant&, reply<milliseconds>)>;

    explicit minting_provider(push_function push) noexcept : push_(std::move(push)) {}

    void obtain(const login_request& who, reply<credential> answer) override {
        auto made = detail::secret::make_key();
        if (!made) return answer(of_grant(std::move(made).error(), who));
        const grant asked{who, made->held()->public_line()};
        // The server may count from any moment after this one: the earliest is the safe one.
        const auto start = std::chrono::steady_clock::now();
        reply<milliseconds> granted = [who, start, key = *std::move(made),
                                       answer = std::move(answer)](result<milliseconds> lifetime) mutable {
            if (!lifetime) return answer(of_grant(std::move(lifetime).error(), who));
            if (*lifetime <= milliseconds::zero()) {
                return answer(of_grant(fail(errc::auth_failed, "the key was granted for no time"), who));
            }
            key.not_after = saturating_add(start, *lifetime);
            answer(std::move(key));
        };
#if defined(__cpp_exceptions)
        // What it throws is no answer: the reply, dropped on the way, has told that.
        try {
            push_(asked, std::move(granted));
        } catch (...) {
        }
#else
        push_(asked, std::move(granted));
#endif
    }

   private:
    push_function push_;
};

}  // namespace

std::shared_ptr<provider> minted(callback<void(const grant&, reply<milliseconds>)> push) {
    EXEC_ASSERT(static_cast<bool>(push), "minted: nobody makes the keys known");
    return std::make_shared<minting_provider>(std::move(push));
}

}  // namespace exec::inline v0::ssh

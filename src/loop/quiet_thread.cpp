#include "loop/quiet_thread.h"

#include <memory>
#include <utility>

#include <signal.h>

#include "exec/assert.h"

namespace exec::inline v0::detail {
namespace {

void* run_body(void* given) {
    const std::unique_ptr<callback<void()>> body(static_cast<callback<void()>*>(given));
    (*body)();
    return nullptr;
}

}  // namespace

quiet_thread::~quiet_thread() { EXEC_ASSERT(!started_, "thread: destroyed before it was joined"); }

result<void> quiet_thread::start(const std::string& name, callback<void()> body) {
    sigset_t blocked;
    sigfillset(&blocked);
    for (const int fault : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS}) sigdelset(&blocked, fault);

    pthread_attr_t attributes;
    if (const int number = pthread_attr_init(&attributes)) return os_failure(number, stage::none, "thread " + name);
    int number = pthread_attr_setsigmask_np(&attributes, &blocked);
    auto given = std::make_unique<callback<void()>>(std::move(body));
    if (number == 0) number = pthread_create(&thread_, &attributes, &run_body, given.get());
    pthread_attr_destroy(&attributes);
    if (number != 0) return os_failure(number, stage::none, "thread " + name);

    static_cast<void>(given.release());
    started_ = true;
    static_cast<void>(pthread_setname_np(thread_, name.substr(0, 15).c_str()));
    return {};
}

void quiet_thread::join() noexcept {
    if (!std::exchange(started_, false)) return;
    pthread_join(thread_, nullptr);
}

}  // namespace exec::inline v0::detail

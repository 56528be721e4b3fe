#include <memory>

#include "exec/ssh/host_keys.h"

namespace exec::inline v0::ssh {
namespace {

class no_check final : public host_keys {
    void check(const host_name&, const host_key&, reply<void> trusted) override { trusted({}); }
};

}  // namespace

std::shared_ptr<host_keys> accept_anything() { return std::make_shared<no_check>(); }

}  // namespace exec::inline v0::ssh

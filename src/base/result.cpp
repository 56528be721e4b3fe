#include "exec/result.h"

namespace exec::inline v0::detail {

void throw_bad_result(failure why) {
#if defined(__cpp_exceptions)
    throw bad_result(std::move(why));
#else
    report_misuse(__FILE__, __LINE__, ("result: value() of a failure: " + why.message()).c_str());
#endif
}

}  // namespace exec::inline v0::detail

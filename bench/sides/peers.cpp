#include "sides/peers.h"

#include "sides/quoting_peers.h"

namespace bench {

void add_peers([[maybe_unused]] std::vector<side>& to) {
#if defined(EXEC_BENCH_LIBUV)
    to.push_back(libuv());
#endif
#if defined(EXEC_BENCH_BOOST)
    to.push_back(boost_v1());
    to.push_back(boost_v2());
#endif
#if defined(EXEC_BENCH_GLIB)
    to.push_back(glib());
#endif
#if defined(EXEC_BENCH_POCO)
    to.push_back(poco());
#endif
}

#if !defined(EXEC_BENCH_GLIB)
std::size_t quote_by_glib(const std::vector<std::string>&) { return 0; }
#endif

}  // namespace bench

// Boost.Process v2: a process with two readable pipes, by its default launcher.
#define BOOST_PROCESS_V2_HEADER_ONLY 1
#include <boost/asio/io_context.hpp>
#include <boost/asio/readable_pipe.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/process/v2/process.hpp>
#include <boost/process/v2/stdio.hpp>
#include <optional>

#include "sides/boost_flight.h"
#include "sides/peers.h"

namespace bench {
namespace {

namespace bp2 = boost::process::v2;

struct v2_child {
    explicit v2_child(boost::asio::io_context& loop) : out(loop), err(loop) {}

    template <class Ended>
    void start(boost::asio::io_context& loop, const std::vector<std::string>& what, Ended&& ended) {
        const std::vector<std::string> arguments(what.begin() + 1, what.end());
        process.emplace(loop, what[0], arguments, bp2::process_stdio{nullptr, out, err});
        process->async_wait([ended](const boost::system::error_code&, int) { ended(); });
    }
    void kill() {
        boost::system::error_code ignored;
        ::kill(process->id(), SIGKILL);
    }

    boost::asio::readable_pipe out;
    boost::asio::readable_pipe err;
    std::optional<bp2::process> process{};
};

}  // namespace

side boost_v2() { return looping_peer<boost_flight<v2_child>>("Boost.Process v2"); }

}  // namespace bench

// Boost.Process v1: a child with two async_pipe and on_exit.
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/process.hpp>
#include <boost/process/async.hpp>

#include "sides/boost_flight.h"
#include "sides/peers.h"

namespace bench {
namespace {

namespace bp = boost::process;

struct v1_child {
    explicit v1_child(boost::asio::io_context& loop) : out(loop), err(loop) {}

    template <class Ended>
    void start(boost::asio::io_context& loop, const std::vector<std::string>& what, Ended&& ended) {
        const std::vector<std::string> arguments(what.begin() + 1, what.end());
        process = bp::child(
            bp::exe = what[0], bp::args = arguments, bp::std_in<bp::null, bp::std_out> out, bp::std_err > err,
            bp::on_exit = [ended](int, const std::error_code&) { ended(); }, loop);
    }
    void kill() {
        std::error_code ignored;
        process.terminate(ignored);
    }

    bp::async_pipe out;
    bp::async_pipe err;
    bp::child process{};
};

}  // namespace

side boost_v1() { return looping_peer<boost_flight<v1_child>>("Boost.Process v1"); }

}  // namespace bench

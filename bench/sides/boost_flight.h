// boost_flight: many commands in one io_context; the two versions of Boost.Process differ in how a child is made.
#pragma once

#include <array>
#include <boost/asio/buffer.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <list>

#include "sides/side.h"

namespace bench {

template <class Child>
class boost_flight final : public flight {
   public:
    void start(words what) override {
        std::vector<std::string> all;
        for (; *what != nullptr; ++what) all.emplace_back(*what);
        const auto made = members_.emplace(members_.end(), loop_);
        made->here = made;
        made->child.start(loop_, all, [this, made] {
            made->how.ended = true;
            close(*made);
        });
        read(*made, made->child.out, made->how.out);
        read(*made, made->child.err, made->how.err);
    }
    void drive_until(std::size_t target) override {
        while (ended() < target) {
            if (loop_.stopped()) loop_.restart();
            loop_.run_one();
        }
    }
    void kill_all() override {
        for (auto& one : members_) {
            if (!one.how.ended) one.child.kill();
        }
    }
    void kill_after(std::chrono::milliseconds delay) override {
        timer_.expires_after(delay);
        timer_.async_wait([this](const boost::system::error_code& cancelled) {
            if (!cancelled) kill_all();
        });
    }

   private:
    struct member {
        explicit member(boost::asio::io_context& loop) : child(loop) {}
        Child child;
        heard how{};
        int open = 3;
        typename std::list<member>::iterator here{};
    };

    template <class Pipe>
    void read(member& of, Pipe& from, std::uint64_t& count) {
        static std::array<char, std::size_t{64} * 1024> space;
        from.async_read_some(boost::asio::buffer(space),
                             [this, &of, &from, &count](const boost::system::error_code& wrong, std::size_t got) {
                                 count += got;
                                 wrong ? close(of) : read(of, from, count);
                             });
    }
    void close(member& of) {
        if (--of.open != 0) return;
        const auto how = of.how;
        members_.erase(of.here);
        one_ended(how);
    }

    boost::asio::io_context loop_{1};
    boost::asio::steady_timer timer_{loop_};
    std::list<member> members_{};
};

}  // namespace bench

// What every consumer of exec::ssh builds, and runs: a command for a port at which nobody listens.
#include <exec/ssh/runner.h>

#include <stop_token>

namespace {

// The last word about the command: that it certainly never ran, because there was no way.
class refused final : public exec::observer {
   public:
    refused(std::stop_source& over, bool& right) : over_(over), right_(right) {}
    void on_done(exec::result<exec::outcome> how) override {
        right_ = !how && how.error().at == exec::stage::connect && how.error().kind() == exec::errc::connect_failed;
        over_.request_stop();
    }

   private:
    std::stop_source& over_;
    bool& right_;
};

}  // namespace

int main() {
    const auto loop = exec::make_loop().value();
    const auto pool = exec::ssh::make_pool(*loop).value();

    exec::ssh::endpoint there;
    there.host = "127.0.0.1";
    there.port = 1;  // tcpmux, which nobody serves
    there.user = "nobody";
    there.login = exec::ssh::always(exec::ssh::credential::password("unused"));
    there.trust = exec::ssh::known_hosts_text("", "nowhere").value();
    const auto runner = exec::ssh::make_runner(*pool, there).value();

    std::stop_source over;
    bool right = false;
    const auto handle =
        runner->start({.program_and_args = exec::argv("true")}, {}, std::make_unique<refused>(over, right));
    loop->run(over.get_token());
    return right ? 0 : 1;
}

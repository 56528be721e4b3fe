// What every consumer of exec::wire builds, and runs: a request in, a response out, and a request that is refused.
#include <exec/local_runner.h>
#include <exec/wire/shell.h>
#include <exec/wire/workspace.h>

#include <string>

int main() {
    const auto wanted = exec::wire::read_workspace_request(R"({"cmd":["echo","hello"],"timeout_s":5})");
    if (!wanted) return 1;
    exec::wire::workspace_stream response(wanted->timeout);
    const auto ran = exec::run(exec::wire::command_of(*wanted));
    if (!ran) return 2;
    response.output(exec::stream::out, 0, ran->out.bytes);
    response.done(ran);
    if (response.head()->http != 200 || response.take().find(R"("data":"hello\n")") == std::string::npos) return 3;

    const auto refused = exec::wire::read_workspace_request(R"({"cmd":["echo",)");
    return !refused && exec::wire::workspace_problem(refused.error()).is.http == 400 ? 0 : 4;
}

// What every consumer of exec::sqlite builds, and runs: one call, in a trail that is asked for it.
#include <exec/sqlite/audit_trail.h>

#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <future>
#include <string>
#include <vector>

int main() {
    char directory[] = "/tmp/exec-trail-XXXXXX";
    if (::mkdtemp(directory) == nullptr) return 2;
    const std::string path = std::string(directory) + "/trail.db";

    bool right = false;
    {
        const auto threads = exec::make_thread_executor(1).value();
        const auto trail = exec::make_sqlite_audit({.path = path, .blocking = threads.get()}).value();
        exec::audit_record record;
        record.id = exec::audit_id({1});
        record.who.subject = "user:ada";
        std::promise<std::size_t> rows;
        trail->begin(record, [&](exec::result<void>) {
            trail->query({.subject = "user:ada"}, [&](exec::result<std::vector<exec::audit_row>> found) {
                rows.set_value(found ? found->size() : 0);
            });
        });
        right = rows.get_future().get() == 1;
    }
    for (const auto* end : {"", "-wal", "-shm", ".lock"}) std::remove((path + end).c_str());
    return right && std::remove(directory) == 0 ? 0 : 1;
}

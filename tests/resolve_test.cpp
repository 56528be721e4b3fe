#include "process/resolve.h"

#include <doctest/doctest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <exec/error.h>
#include <cerrno>
#include <string>
#include <vector>

#include "children.h"

using exec::process::candidate_list;

namespace {

std::vector<std::string> paths_of(const std::string& program, const std::string& search_path, bool moves = false) {
    candidate_list list;
    if (!list.resolve(program, search_path, moves)) return {"none"};
    std::vector<std::string> all;
    for (const char* const* one = list.get(); *one != nullptr; ++one) all.emplace_back(*one);
    return all;
}

}  // namespace

TEST_CASE("resolve: a name is looked for in every absolute element, in order") {
    CHECK(paths_of("git", "/usr/bin:/bin") == std::vector<std::string>{"/usr/bin/git", "/bin/git"});
    CHECK(paths_of("git", "/one") == std::vector<std::string>{"/one/git"});
}

TEST_CASE("resolve: elements that mean the current directory or depend on it are skipped") {
    CHECK(paths_of("git", ":/bin::/sbin:") == std::vector<std::string>{"/bin/git", "/sbin/git"});
    CHECK(paths_of("git", ".:/bin:tools:../x") == std::vector<std::string>{"/bin/git"});
}

TEST_CASE("resolve: an empty name and a path without a usable element are a program that was not found") {
    for (const std::string path : {"", ":", ".", "bin:.", "::::"}) {
        candidate_list list;
        const auto found = list.resolve("git", path, false);
        REQUIRE(!found);
        CHECK(found.error().at == exec::stage::program);
        CHECK(found.error().code == std::error_code(ENOENT, std::system_category()));
        CHECK(found.error().context == "git");
    }
    candidate_list list;
    CHECK(list.resolve("", "/bin", false).error().at == exec::stage::program);
}

TEST_CASE("resolve: a name with a slash is used as given and never searched") {
    CHECK(paths_of("/bin/sh", "/usr/bin") == std::vector<std::string>{"/bin/sh"});
    CHECK(paths_of("./tool", "/usr/bin") == std::vector<std::string>{"./tool"});
    CHECK(paths_of("sub/tool", "") == std::vector<std::string>{"sub/tool"});
}

TEST_CASE("resolve: a relative name is made absolute by the host's directory if the child moves") {
    char here[4096];
    REQUIRE(::getcwd(here, sizeof here) != nullptr);
    CHECK(paths_of("./tool", "", true) == std::vector<std::string>{std::string(here) + "/./tool"});
    CHECK(paths_of("/bin/sh", "", true) == std::vector<std::string>{"/bin/sh"});
}

TEST_CASE("resolve: a host whose own directory is gone cannot mean a relative name") {
    CHECK(test::in_other_host([]() -> std::string {
              char gone[] = "/tmp/exec-resolve-XXXXXX";
              if (::mkdtemp(gone) == nullptr || ::chdir(gone) != 0 || ::rmdir(gone) != 0) return "no directory";
              candidate_list list;
              const auto found = list.resolve("./tool", "", true);
              return !found && found.error().code == std::error_code(ENOENT, std::system_category()) ? "" : "it did";
          }) == "");
}

TEST_CASE("resolve: lists and names of any length, and a list that is used again") {
    std::string path;
    for (int i = 0; i < 500; ++i) path += (i > 0 ? ":/some/where/" : "/some/where/") + std::to_string(i);
    candidate_list list;
    REQUIRE(list.resolve("tool", path, false));
    int count = 0;
    for (const char* const* one = list.get(); *one != nullptr; ++one, ++count) {
        REQUIRE(*one == "/some/where/" + std::to_string(count) + "/tool");
    }
    CHECK(count == 500);
    const std::string name(5000, 'n');
    REQUIRE(list.resolve(name, "/bin", false));
    CHECK(list.get()[0] == "/bin/" + name);
    CHECK(list.get()[1] == nullptr);

    // Around the sizes that fit without an allocation.
    for (std::size_t elements = 20; elements < 30; ++elements) {
        std::string few;
        for (std::size_t i = 0; i < elements; ++i) few += ":/" + std::string(30 + i, 'd');
        const auto all = paths_of("t", few);
        CHECK(all.size() == elements);
        CHECK(all.back() == "/" + std::string(30 + elements - 1, 'd') + "/t");
    }
}

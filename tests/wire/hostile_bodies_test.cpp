// Bodies that must be refused: each with its code and the whole context, which names the place.
#include <exec/wire/json_request.h>
#include <exec/wire/shell.h>
#include <exec/wire/workspace.h>

#include <doctest/doctest.h>

#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

namespace {

using namespace exec;
using namespace std::string_view_literals;

enum class reader { document, workspace, parameters, shell };

struct row {
    reader by;
    errc code;
    std::string body;
    std::string context;

    row(reader with, errc expected, std::string_view text, std::string place)
        : by(with), code(expected), body(text), context(std::move(place)) {}
};

std::string times(int count, std::string_view text) {
    std::string all;
    while (count-- > 0) all += text;
    return all;
}
std::string joined(std::initializer_list<std::string_view> pieces) {
    std::string all;
    for (const auto piece : pieces) all += piece;
    return all;
}

// clang-format off
std::vector<row> bodies() {
    return {
        // the text as such
        {reader::document, errc::invalid_argument, ""sv, "body: empty (byte 0)"},
        {reader::document, errc::invalid_argument, " "sv, "body: empty (byte 1)"},
        {reader::document, errc::invalid_argument, "\n\t\r "sv, "body: empty (byte 4)"},
        {reader::document, errc::invalid_argument, "{"sv, "body: not JSON (byte 1)"},
        {reader::document, errc::invalid_argument, "}"sv, "body: not JSON (byte 0)"},
        {reader::document, errc::invalid_argument, "["sv, "body: not JSON (byte 1)"},
        {reader::document, errc::invalid_argument, "]"sv, "body: not JSON (byte 0)"},
        {reader::document, errc::invalid_argument, R"({"a")"sv, "body: not JSON (byte 4)"},
        {reader::document, errc::invalid_argument, R"({"a":)"sv, "body: not JSON (byte 5)"},
        {reader::document, errc::invalid_argument, R"({"a":1)"sv, "body: not JSON (byte 6)"},
        {reader::document, errc::invalid_argument, R"({"a":1,)"sv, "body: not JSON (byte 7)"},
        {reader::document, errc::invalid_argument, R"({"a":1,})"sv, "body: not JSON (byte 7)"},
        {reader::document, errc::invalid_argument, "[1,]"sv, "body: not JSON (byte 3)"},
        {reader::document, errc::invalid_argument, "[,1]"sv, "body: not JSON (byte 1)"},
        {reader::document, errc::invalid_argument, "[1 2]"sv, "body: not JSON (byte 3)"},
        {reader::document, errc::invalid_argument, R"({"a" 1})"sv, "body: not JSON (byte 5)"},
        {reader::document, errc::invalid_argument, "{a:1}"sv, "body: not JSON (byte 1)"},
        {reader::document, errc::invalid_argument, "{'a':1}"sv, "body: not JSON (byte 1)"},
        {reader::document, errc::invalid_argument, R"({"a":1}})"sv, "body: bytes behind the document (byte 7)"},
        {reader::document, errc::invalid_argument, "[]]"sv, "body: bytes behind the document (byte 2)"},
        {reader::document, errc::invalid_argument, "{}{}"sv, "body: bytes behind the document (byte 2)"},
        {reader::document, errc::invalid_argument, "{} x"sv, "body: bytes behind the document (byte 3)"},
        {reader::document, errc::invalid_argument, "{}\n{}"sv, "body: bytes behind the document (byte 3)"},
        {reader::document, errc::invalid_argument, "1 2"sv, "body: bytes behind the document (byte 2)"},
        {reader::document, errc::invalid_argument, R"("a" "b")"sv, "body: bytes behind the document (byte 6)"},
        {reader::document, errc::invalid_argument, "nul"sv, "body: not JSON (byte 3)"},
        {reader::document, errc::invalid_argument, "nulll"sv, "body: bytes behind the document (byte 4)"},
        {reader::document, errc::invalid_argument, "True"sv, "body: not JSON (byte 0)"},
        {reader::document, errc::invalid_argument, "NaN"sv, "body: not JSON (byte 0)"},
        {reader::document, errc::invalid_argument, "Infinity"sv, "body: not JSON (byte 0)"},
        {reader::document, errc::invalid_argument, "-Infinity"sv, "body: not JSON (byte 1)"},
        {reader::document, errc::invalid_argument, "-"sv, "body: not JSON (byte 1)"},
        {reader::document, errc::invalid_argument, "+1"sv, "body: not JSON (byte 0)"},
        {reader::document, errc::invalid_argument, "01"sv, "body: bytes behind the document (byte 1)"},
        {reader::document, errc::invalid_argument, "-01"sv, "body: bytes behind the document (byte 2)"},
        {reader::document, errc::invalid_argument, "1."sv, "body: not JSON (byte 2)"},
        {reader::document, errc::invalid_argument, ".5"sv, "body: not JSON (byte 0)"},
        {reader::document, errc::invalid_argument, "1e"sv, "body: not JSON (byte 2)"},
        {reader::document, errc::invalid_argument, "1e+"sv, "body: not JSON (byte 3)"},
        {reader::document, errc::invalid_argument, "0x10"sv, "body: bytes behind the document (byte 1)"},
        {reader::document, errc::invalid_argument, "1_000"sv, "body: bytes behind the document (byte 1)"},
        {reader::document, errc::invalid_argument, "1e400"sv, "body: not JSON (byte 4)"},
        {reader::document, errc::invalid_argument, "-1e400"sv, "body: not JSON (byte 5)"},
        {reader::document, errc::invalid_argument, "// c\n{}"sv, "body: not JSON (byte 0)"},
        {reader::document, errc::invalid_argument, "/* c */{}"sv, "body: not JSON (byte 0)"},
        {reader::document, errc::invalid_argument, "{}//"sv, "body: bytes behind the document (byte 2)"},
        {reader::document, errc::invalid_argument, "#"sv, "body: not JSON (byte 0)"},
        {reader::document, errc::invalid_argument, "undefined"sv, "body: not JSON (byte 0)"},
        {reader::document, errc::invalid_argument, R"(")"sv, "body: not JSON (byte 1)"},
        {reader::document, errc::invalid_argument, R"("abc)"sv, "body: not JSON (byte 4)"},
        {reader::document, errc::invalid_argument, R"("\)"sv, "body: not JSON (byte 2)"},
        {reader::document, errc::invalid_argument, R"("\x")"sv, "body: not JSON (byte 2)"},
        {reader::document, errc::invalid_argument, R"("\u12")"sv, "body: not JSON (byte 5)"},
        {reader::document, errc::invalid_argument, R"("\u12G4")"sv, "body: not JSON (byte 5)"},
        {reader::document, errc::invalid_argument, R"("\ud800")"sv, "body: not JSON (byte 7)"},
        {reader::document, errc::invalid_argument, R"("\udc00")"sv, "body: not JSON (byte 6)"},
        {reader::document, errc::invalid_argument, R"("\ud800\u0041")"sv, "body: not JSON (byte 12)"},
        {reader::document, errc::invalid_argument, R"("\udc00\ud800")"sv, "body: not JSON (byte 6)"},
        {reader::document, errc::invalid_argument, "\"a\nb\""sv, "body: not JSON (byte 2)"},
        {reader::document, errc::invalid_argument, "\"a\tb\""sv, "body: not JSON (byte 2)"},
        {reader::document, errc::invalid_argument, "\"\001\""sv, "body: not JSON (byte 1)"},
        {reader::document, errc::invalid_argument, "\"\037\""sv, "body: not JSON (byte 1)"},
        {reader::document, errc::invalid_argument, "\000"sv, "body: not JSON (byte 0)"},
        {reader::document, errc::invalid_argument, "{}\000"sv, "body: not JSON (byte 2)"},
        {reader::document, errc::invalid_argument, "\"\000\""sv, "body: not JSON (byte 1)"},
        {reader::document, errc::invalid_argument, R"("\u0000")"sv, "body: a NUL (byte 0)"},
        {reader::document, errc::invalid_argument, R"(["a\u0000b"])"sv, "[0]: a NUL (byte 1)"},
        {reader::document, errc::invalid_argument, R"({"\u0000":1})"sv, "body: a NUL in a name (byte 1)"},
        {reader::document, errc::invalid_argument, R"({"a\u0000":1})"sv, "body: a NUL in a name (byte 1)"},
        {reader::document, errc::invalid_argument, R"([["x\u0000"]])"sv, "[0][0]: a NUL (byte 2)"},
        {reader::document, errc::invalid_argument, "\357\273\277{}"sv, "body: a byte order mark (byte 0)"},
        {reader::document, errc::invalid_argument, "\357\273\277"sv, "body: a byte order mark (byte 0)"},
        {reader::document, errc::invalid_argument, "\377\376{\000}\000"sv, "body: not UTF-8 (byte 0)"},
        {reader::document, errc::invalid_argument, "\376\377\000{"sv, "body: not UTF-8 (byte 0)"},
        {reader::document, errc::invalid_argument, "{\000}\000"sv, "body: not JSON (byte 1)"},
        {reader::document, errc::invalid_argument, "\"\200\""sv, "body: not UTF-8 (byte 1)"},
        {reader::document, errc::invalid_argument, "\"\300\257\""sv, "body: not UTF-8 (byte 1)"},
        {reader::document, errc::invalid_argument, "\"\340\200\257\""sv, "body: not UTF-8 (byte 1)"},
        {reader::document, errc::invalid_argument, "\"\355\240\200\""sv, "body: not UTF-8 (byte 1)"},
        {reader::document, errc::invalid_argument, "\"\364\220\200\200\""sv, "body: not UTF-8 (byte 1)"},
        {reader::document, errc::invalid_argument, "\"\370\210\200\200\200\""sv, "body: not UTF-8 (byte 1)"},
        {reader::document, errc::invalid_argument, "\"\303\""sv, "body: not UTF-8 (byte 1)"},
        {reader::document, errc::invalid_argument, "\"\346\274\""sv, "body: not UTF-8 (byte 1)"},
        {reader::document, errc::invalid_argument, "\"\360\237\230\""sv, "body: not UTF-8 (byte 1)"},
        {reader::document, errc::invalid_argument, "\"ab\377\""sv, "body: not UTF-8 (byte 3)"},
        {reader::document, errc::invalid_argument, "{\"\377\":1}"sv, "body: not UTF-8 (byte 2)"},
        {reader::document, errc::invalid_argument, "\240"sv, "body: not UTF-8 (byte 0)"},
        {reader::document, errc::invalid_argument, "{}\302\240"sv, "body: bytes behind the document (byte 2)"},
        {reader::document, errc::invalid_argument, "{\342\200\250}"sv, "body: not JSON (byte 1)"},
        {reader::document, errc::invalid_argument, "\357\273\277\357\273\277{}"sv, "body: a byte order mark (byte 0)"},
        {reader::document, errc::invalid_argument, R"({"a":1,"a":2})"sv, "body: a name twice: a (byte 7)"},
        {reader::document, errc::invalid_argument, R"({"a":1,"b":2,"a":3})"sv, "body: a name twice: a (byte 13)"},
        {reader::document, errc::invalid_argument, R"({"\u0061":1,"a":2})"sv, "body: a name twice: a (byte 12)"},
        {reader::document, errc::invalid_argument, R"([{"k":1},{"k":1,"k":1}])"sv, "[1]: a name twice: k (byte 16)"},
        {reader::document, errc::invalid_argument, R"({"":1,"":2})"sv, R"(body: a name twice: "" (byte 6))"},
        {reader::document, errc::invalid_argument, R"({"a":{"b":1,"b":1}})"sv, "a: a name twice: b (byte 12)"},
        {reader::document, errc::invalid_argument, R"({"a":null,"a":null})"sv, "body: a name twice: a (byte 10)"},
        {reader::document, errc::invalid_argument, "{\"\\u00e9\":1,\"\303\251\":2}"sv, "body: a name twice: \303\251 (byte 12)"},
        {reader::document, errc::invalid_argument, joined({times(17, "["), times(17, "]")}), "body: more than 16 levels deep (byte 16)"},
        {reader::document, errc::invalid_argument, joined({times(17, R"({"a":)"), "1"sv, times(17, "}")}), "body: more than 16 levels deep (byte 80)"},
        {reader::document, errc::invalid_argument, joined({times(16, "["), "{}"sv, times(16, "]")}), "body: more than 16 levels deep (byte 16)"},
        {reader::document, errc::invalid_argument, joined({times(17, "[")}), "body: more than 16 levels deep (byte 16)"},
        // the body of a workspace exec
        {reader::workspace, errc::invalid_argument, ""sv, "body: empty (byte 0)"},
        {reader::workspace, errc::invalid_argument, "[]"sv, "body: must be an object, is an array (byte 0)"},
        {reader::workspace, errc::invalid_argument, R"("ls")"sv, "body: must be an object, is a string (byte 0)"},
        {reader::workspace, errc::invalid_argument, "1"sv, "body: must be an object, is a number (byte 0)"},
        {reader::workspace, errc::invalid_argument, "null"sv, "body: must be an object, is null (byte 0)"},
        {reader::workspace, errc::invalid_argument, "true"sv, "body: must be an object, is a boolean (byte 0)"},
        {reader::workspace, errc::invalid_argument, "{"sv, "body: not JSON (byte 1)"},
        {reader::workspace, errc::invalid_argument, R"(["ls"])"sv, "body: must be an object, is an array (byte 0)"},
        {reader::workspace, errc::invalid_argument, R"({"cmd":["ls"],"cmd":["rm"]})"sv, "body: a name twice: cmd (byte 14)"},
        {reader::workspace, errc::invalid_argument, R"({"cmd":["ls"],"timeout":5})"sv, "timeout: is not known here (byte 24)"},
        {reader::workspace, errc::invalid_argument, R"({"cmd":["ls"],"Cmd":["ls"]})"sv, "Cmd: is not known here (byte 20)"},
        {reader::workspace, errc::invalid_argument, R"({"cmd":["ls"],"env":{}})"sv, "env: is not known here (byte 20)"},
        {reader::workspace, errc::invalid_argument, R"({"cmd":["ls"],"":1})"sv, R"("": is not known here (byte 17))"},
        {reader::workspace, errc::invalid_argument, R"({"cmd":["ls"],"x":1})"sv, "x: is not known here (byte 18)"},
        {reader::workspace, errc::invalid_argument, R"({"cmd":["ls"],"X-a":1})"sv, "X-a: is not known here (byte 20)"},
        {reader::workspace, errc::invalid_argument, R"({"command":["ls"]})"sv, "command: is not known here (byte 11)"},
        {reader::workspace, errc::invalid_argument, R"({"cmd":["ls"]}{"cmd":["rm"]})"sv, "body: bytes behind the document (byte 14)"},
        {reader::workspace, errc::invalid_argument, R"({"cmd":["ls"]} //)"sv, "body: bytes behind the document (byte 15)"},
        {reader::workspace, errc::invalid_argument, R"({"cmd":["ls"],})"sv, "body: not JSON (byte 14)"},
        {reader::workspace, errc::invalid_argument, R"({"cmd":["ls",]})"sv, "body: not JSON (byte 13)"},
        {reader::workspace, errc::invalid_argument, R"({"cmd":["ls"],"timeout_s":"5"})"sv, "timeout_s: must be an integer, is a string (byte 26)"},
        {reader::workspace, errc::invalid_argument, R"({"cmd":["ls"],"timeout_s":null})"sv, "timeout_s: must be an integer, is null (byte 26)"},
        {reader::workspace, errc::invalid_argument, R"({"cmd":["ls"],"timeout_s":true})"sv, "timeout_s: must be an integer, is a boolean (byte 26)"},
        {reader::workspace, errc::invalid_argument, R"({"cmd":["ls"],"timeout_s":[5]})"sv, "timeout_s: must be an integer, is an array (byte 26)"},
        {reader::workspace, errc::invalid_argument, R"({"cmd":["ls"],"timeout_s":{}})"sv, "timeout_s: must be an integer, is an object (byte 26)"},
        {reader::workspace, errc::invalid_argument, R"({"cmd":["ls"],"timeout_s":1.5})"sv, "timeout_s: must be an integer, without a point or exponent (byte 26)"},
        {reader::workspace, errc::invalid_argument, R"({"cmd":["ls"],"timeout_s":5.0})"sv, "timeout_s: must be an integer, without a point or exponent (byte 26)"},
        {reader::workspace, errc::invalid_argument, R"({"cmd":["ls"],"timeout_s":5e0})"sv, "timeout_s: must be an integer, without a point or exponent (byte 26)"},
        {reader::workspace, errc::invalid_argument, R"({"cmd":["ls"],"timeout_s":5E1})"sv, "timeout_s: must be an integer, without a point or exponent (byte 26)"},
        {reader::workspace, errc::invalid_argument, R"({"cmd":["ls"],"timeout_s":-0.0})"sv, "timeout_s: must be an integer, without a point or exponent (byte 26)"},
        {reader::workspace, errc::invalid_argument, R"({"cmd":["ls"],"timeout_s":9223372036854775808})"sv, "timeout_s: must be from -9223372036854775808 to 9223372036854775807 (byte 26)"},
        {reader::workspace, errc::invalid_argument, R"({"cmd":["ls"],"timeout_s":-9223372036854775809})"sv, "timeout_s: must be from -9223372036854775808 to 9223372036854775807 (byte 26)"},
        {reader::workspace, errc::invalid_argument, R"({"cmd":["ls"],"timeout_s":18446744073709551616})"sv, "timeout_s: must be from -9223372036854775808 to 9223372036854775807 (byte 26)"},
        {reader::workspace, errc::invalid_argument, joined({R"({"cmd":["ls"],"timeout_s":)"sv, times(40, "9"), "}"sv}), "timeout_s: must be from -9223372036854775808 to 9223372036854775807 (byte 26)"},
        {reader::workspace, errc::invalid_argument, R"({"cmd":["ls"],"timeout_s":1e999})"sv, "body: not JSON (byte 30)"},
        {reader::workspace, errc::invalid_argument, R"({"cmd":["ls"],"timeout_s":05})"sv, "body: not JSON (byte 27)"},
        {reader::workspace, errc::invalid_argument, R"({"cmd":["ls"],"timeout_s":})"sv, "body: not JSON (byte 26)"},
        {reader::workspace, errc::invalid_argument, R"({"cmd":"ls","timeout_s":"x"})"sv, "timeout_s: must be an integer, is a string (byte 24)"},
        {reader::workspace, errc::invalid_argument, "{}"sv, "body: cmd is missing: an array of strings, the program first (byte 0)"},
        {reader::workspace, errc::invalid_argument, R"({"timeout_s":5})"sv, "body: cmd is missing: an array of strings, the program first (byte 0)"},
        {reader::workspace, errc::invalid_argument, R"({"x-cmd":["ls"]})"sv, "body: cmd is missing: an array of strings, the program first (byte 0)"},
        {reader::workspace, errc::invalid_argument, R"({"cmd":null})"sv, "cmd: must be an array, is null (byte 7)"},
        {reader::workspace, errc::invalid_argument, R"({"cmd":"ls -la"})"sv, "cmd: must be an array of strings: argv only, a command line is not taken apart (byte 7)"},
        {reader::workspace, errc::invalid_argument, R"({"cmd":""})"sv, "cmd: must be an array of strings: argv only, a command line is not taken apart (byte 7)"},
        {reader::workspace, errc::invalid_argument, R"({"cmd":1})"sv, "cmd: must be an array, is a number (byte 7)"},
        {reader::workspace, errc::invalid_argument, R"({"cmd":true})"sv, "cmd: must be an array, is a boolean (byte 7)"},
        {reader::workspace, errc::invalid_argument, R"({"cmd":{}})"sv, "cmd: must be an array, is an object (byte 7)"},
        {reader::workspace, errc::invalid_argument, R"({"cmd":{"0":"ls"}})"sv, "cmd: must be an array, is an object (byte 7)"},
        {reader::workspace, errc::invalid_argument, R"({"cmd":[]})"sv, "cmd: must not be empty (byte 7)"},
        {reader::workspace, errc::invalid_argument, R"({"cmd":[ ]})"sv, "cmd: must not be empty (byte 7)"},
        {reader::workspace, errc::invalid_argument, R"({"cmd":[null]})"sv, "cmd[0]: must be a string, is null (byte 8)"},
        {reader::workspace, errc::invalid_argument, R"({"cmd":["ls",null]})"sv, "cmd[1]: must be a string, is null (byte 13)"},
        {reader::workspace, errc::invalid_argument, R"({"cmd":["ls",1]})"sv, "cmd[1]: must be a string, is a number (byte 13)"},
        {reader::workspace, errc::invalid_argument, R"({"cmd":["ls",1.5]})"sv, "cmd[1]: must be a string, is a number (byte 13)"},
        {reader::workspace, errc::invalid_argument, R"({"cmd":["ls",true]})"sv, "cmd[1]: must be a string, is a boolean (byte 13)"},
        {reader::workspace, errc::invalid_argument, R"({"cmd":["ls",[]]})"sv, "cmd[1]: must be a string, is an array (byte 13)"},
        {reader::workspace, errc::invalid_argument, R"({"cmd":["ls",["-l"]]})"sv, "cmd[1]: must be a string, is an array (byte 13)"},
        {reader::workspace, errc::invalid_argument, R"({"cmd":["ls",{}]})"sv, "cmd[1]: must be a string, is an object (byte 13)"},
        {reader::workspace, errc::invalid_argument, R"({"cmd":[["ls"]]})"sv, "cmd[0]: must be a string, is an array (byte 8)"},
        {reader::workspace, errc::invalid_argument, R"({"cmd":["a","b","c",null,5]})"sv, "cmd[3]: must be a string, is null (byte 20)"},
        {reader::workspace, errc::invalid_argument, R"({"cmd":[1,"ls"]})"sv, "cmd[0]: must be a string, is a number (byte 8)"},
        {reader::workspace, errc::invalid_argument, R"({"cmd":["ls","a\u0000b"]})"sv, "cmd[1]: a NUL (byte 13)"},
        {reader::workspace, errc::invalid_argument, R"({"cmd":["\u0000"]})"sv, "cmd[0]: a NUL (byte 8)"},
        {reader::workspace, errc::invalid_argument, R"({"cmd":["ls","\ud800"]})"sv, "body: not JSON (byte 20)"},
        {reader::workspace, errc::invalid_argument, "{\"cmd\":[\"ls\",\"\377\"]}"sv, "body: not UTF-8 (byte 14)"},
        {reader::workspace, errc::invalid_argument, R"({"cmd":["ls" "-l"]})"sv, "body: not JSON (byte 16)"},
        {reader::workspace, errc::invalid_argument, joined({R"({"cmd":[)"sv, times(256, R"("a",)"), R"("a"]})"sv}), "cmd: 257 elements, at most 256 (byte 7)"},
        {reader::workspace, errc::invalid_argument, joined({R"({"cmd":[)"sv, times(256, R"("",)"), R"(""]})"sv}), "cmd: 257 elements, at most 256 (byte 7)"},
        {reader::workspace, errc::invalid_argument, joined({R"({"cmd":["x")"sv, times(300, ",1"), "]}"sv}), "cmd[1]: must be a string, is a number (byte 12)"},
        {reader::workspace, errc::invalid_argument, joined({R"({"cmd":[)"sv, times(255, R"("",)"), R"(""]})"sv}), "cmd[0]: the program is blank"},
        {reader::workspace, errc::invalid_argument, R"({"cmd":[""]})"sv, "cmd[0]: the program is blank"},
        {reader::workspace, errc::invalid_argument, R"({"cmd":[" "]})"sv, "cmd[0]: the program is blank"},
        {reader::workspace, errc::invalid_argument, R"({"cmd":["\t\n"]})"sv, "cmd[0]: the program is blank"},
        {reader::workspace, errc::invalid_argument, R"({"cmd":["\u000b\f\r"]})"sv, "cmd[0]: the program is blank"},
        {reader::workspace, errc::invalid_argument, R"({"cmd":["","ls"]})"sv, "cmd[0]: the program is blank"},
        {reader::workspace, errc::invalid_argument, R"({"cmd":["","ls"],"timeout_s":0})"sv, "cmd[0]: the program is blank"},
        // the parameters of shell.exec
        {reader::parameters, errc::invalid_argument, ""sv, "body: empty (byte 0)"},
        {reader::parameters, errc::invalid_argument, "null"sv, "body: must be an object, is null (byte 0)"},
        {reader::parameters, errc::invalid_argument, "[]"sv, "body: must be an object, is an array (byte 0)"},
        {reader::parameters, errc::invalid_argument, R"("ls")"sv, "body: must be an object, is a string (byte 0)"},
        {reader::parameters, errc::invalid_argument, "{}"sv, "body: command is missing (byte 0)"},
        {reader::parameters, errc::invalid_argument, R"({"timeout_ms":5})"sv, "body: command is missing (byte 0)"},
        {reader::parameters, errc::invalid_argument, R"({"command":null})"sv, "command: must be a string, is null (byte 11)"},
        {reader::parameters, errc::invalid_argument, R"({"command":1})"sv, "command: must be a string, is a number (byte 11)"},
        {reader::parameters, errc::invalid_argument, R"({"command":["ls"]})"sv, "command: must be a string, is an array (byte 11)"},
        {reader::parameters, errc::invalid_argument, R"({"command":{}})"sv, "command: must be a string, is an object (byte 11)"},
        {reader::parameters, errc::invalid_argument, R"({"command":true})"sv, "command: must be a string, is a boolean (byte 11)"},
        {reader::parameters, errc::invalid_argument, R"({"command":""})"sv, "command: must not be blank (byte 11)"},
        {reader::parameters, errc::invalid_argument, R"({"command":" \t\n\r"})"sv, "command: must not be blank (byte 11)"},
        {reader::parameters, errc::invalid_argument, R"({"command":"\u000b\f"})"sv, "command: must not be blank (byte 11)"},
        {reader::parameters, errc::invalid_argument, R"({"command":"ls\u0000"})"sv, "command: a NUL (byte 11)"},
        {reader::parameters, errc::invalid_argument, R"({"command":"ls","command":"rm"})"sv, "body: a name twice: command (byte 16)"},
        {reader::parameters, errc::invalid_argument, R"({"command":"ls","timeout":5})"sv, "timeout: is not known here (byte 26)"},
        {reader::parameters, errc::invalid_argument, R"({"command":"ls","timeout_ms":-1})"sv, "timeout_ms: must be from 0 to 9223372036854775807 (byte 29)"},
        {reader::parameters, errc::invalid_argument, R"({"command":"ls","timeout_ms":-9223372036854775808})"sv, "timeout_ms: must be from 0 to 9223372036854775807 (byte 29)"},
        {reader::parameters, errc::invalid_argument, R"({"command":"ls","timeout_ms":"5"})"sv, "timeout_ms: must be an integer, is a string (byte 29)"},
        {reader::parameters, errc::invalid_argument, R"({"command":"ls","timeout_ms":null})"sv, "timeout_ms: must be an integer, is null (byte 29)"},
        {reader::parameters, errc::invalid_argument, R"({"command":"ls","timeout_ms":true})"sv, "timeout_ms: must be an integer, is a boolean (byte 29)"},
        {reader::parameters, errc::invalid_argument, R"({"command":"ls","timeout_ms":1.0})"sv, "timeout_ms: must be an integer, without a point or exponent (byte 29)"},
        {reader::parameters, errc::invalid_argument, R"({"command":"ls","timeout_ms":1e3})"sv, "timeout_ms: must be an integer, without a point or exponent (byte 29)"},
        {reader::parameters, errc::invalid_argument, R"({"command":"ls","timeout_ms":9223372036854775808})"sv, "timeout_ms: must be from 0 to 9223372036854775807 (byte 29)"},
        {reader::parameters, errc::invalid_argument, R"({"command":"ls","timeout_ms":[]})"sv, "timeout_ms: must be an integer, is an array (byte 29)"},
        {reader::parameters, errc::invalid_argument, R"({"command":"ls","cwd":"/"})"sv, "cwd: is not known here (byte 22)"},
        {reader::parameters, errc::invalid_argument, R"({"command":"ls","env":{}})"sv, "env: is not known here (byte 22)"},
        // a line for the shell agent
        {reader::shell, errc::invalid_argument, ""sv, "body: empty (byte 0)"},
        {reader::shell, errc::invalid_argument, "{}"sv, "body: id is missing (byte 0)"},
        {reader::shell, errc::invalid_argument, "[]"sv, "body: must be an object, is an array (byte 0)"},
        {reader::shell, errc::invalid_argument, R"({"id":"1"})"sv, "body: capability is missing (byte 0)"},
        {reader::shell, errc::invalid_argument, R"({"capability":"shell.exec","parameters":{"command":"ls"}})"sv, "body: id is missing (byte 0)"},
        {reader::shell, errc::invalid_argument, R"({"id":1,"capability":"shell.exec","parameters":{"command":"ls"}})"sv, "id: must be a string, is a number (byte 6)"},
        {reader::shell, errc::invalid_argument, R"({"id":null,"capability":"shell.exec","parameters":{"command":"ls"}})"sv, "id: must be a string, is null (byte 6)"},
        {reader::shell, errc::invalid_argument, R"({"id":"","capability":"shell.exec","parameters":{"command":"ls"}})"sv, "id: must not be empty (byte 6)"},
        {reader::shell, errc::invalid_argument, joined({R"({"id":")"sv, times(129, "i"), R"(","capability":"shell.exec","parameters":{"command":"ls"}})"sv}), "id: must be at most 128 bytes (byte 6)"},
        {reader::shell, errc::invalid_argument, R"({"id":"1","parameters":{"command":"ls"}})"sv, "body: capability is missing (byte 0)"},
        {reader::shell, errc::invalid_argument, R"({"id":"1","capability":null,"parameters":{"command":"ls"}})"sv, "capability: must be a string, is null (byte 23)"},
        {reader::shell, errc::invalid_argument, R"({"id":"1","capability":1,"parameters":{"command":"ls"}})"sv, "capability: must be a string, is a number (byte 23)"},
        {reader::shell, errc::unsupported, R"({"id":"1","capability":"shell","parameters":{"command":"ls"}})"sv, "capability: only shell.exec is served here"},
        {reader::shell, errc::unsupported, R"({"id":"1","capability":"shell.exec ","parameters":{"command":"ls"}})"sv, "capability: only shell.exec is served here"},
        {reader::shell, errc::unsupported, R"({"id":"1","capability":"SHELL.EXEC","parameters":{"command":"ls"}})"sv, "capability: only shell.exec is served here"},
        {reader::shell, errc::unsupported, R"({"id":"1","capability":"file.read","parameters":{"command":"ls"}})"sv, "capability: only shell.exec is served here"},
        {reader::shell, errc::invalid_argument, R"({"id":"1","capability":"shell.exec"})"sv, "body: parameters are missing (byte 0)"},
        {reader::shell, errc::invalid_argument, R"({"id":"1","capability":"shell.exec","parameters":null})"sv, "parameters: must be an object, is null (byte 49)"},
        {reader::shell, errc::invalid_argument, R"({"id":"1","capability":"shell.exec","parameters":"ls"})"sv, "parameters: must be an object, is a string (byte 49)"},
        {reader::shell, errc::invalid_argument, R"({"id":"1","capability":"shell.exec","parameters":["ls"]})"sv, "parameters: must be an object, is an array (byte 49)"},
        {reader::shell, errc::invalid_argument, R"({"id":"1","capability":"shell.exec","parameters":{}})"sv, "parameters: command is missing (byte 49)"},
        {reader::shell, errc::invalid_argument, R"({"id":"1","capability":"shell.exec","parameters":{"command":" "}})"sv, "parameters.command: must not be blank (byte 60)"},
        {reader::shell, errc::invalid_argument, R"({"id":"1","capability":"shell.exec","parameters":{"command":"ls","timeout_ms":-5}})"sv, "parameters.timeout_ms: must be from 0 to 9223372036854775807 (byte 78)"},
        {reader::shell, errc::invalid_argument, R"({"id":"1","capability":"shell.exec","parameters":{"command":"ls"},"context":null})"sv, "context: must be an object, is null (byte 76)"},
        {reader::shell, errc::invalid_argument, R"({"id":"1","capability":"shell.exec","parameters":{"command":"ls"},"context":[]})"sv, "context: must be an object, is an array (byte 76)"},
        {reader::shell, errc::invalid_argument, R"({"id":"1","capability":"shell.exec","parameters":{"command":"ls"},"context":"x"})"sv, "context: must be an object, is a string (byte 76)"},
        {reader::shell, errc::invalid_argument, R"({"id":"1","capability":"shell.exec","parameters":{"command":"ls"},"contexts":{}})"sv, "contexts: is not known here (byte 77)"},
        {reader::shell, errc::invalid_argument, R"({"id":"1","capability":"shell.exec","parameters":{"command":"ls"},"context":{},"context":{}})"sv, "body: a name twice: context (byte 79)"},
        {reader::shell, errc::unsupported, R"({"id":"1","capability":"shell.exec","parameters":{"command":"ls"},"context":{"limits":{}}})"sv, "context.limits: not enforced by this runner, so refused"},
        {reader::shell, errc::unsupported, R"({"id":"1","capability":"shell.exec","parameters":{"command":"ls"},"context":{"limits":null}})"sv, "context.limits: not enforced by this runner, so refused"},
        {reader::shell, errc::unsupported, R"({"id":"1","capability":"shell.exec","parameters":{"command":"ls"},"context":{"scope":{}}})"sv, "context.scope: not enforced by this runner, so refused"},
        {reader::shell, errc::unsupported, R"({"id":"1","capability":"shell.exec","parameters":{"command":"ls"},"context":{"scope":null}})"sv, "context.scope: not enforced by this runner, so refused"},
        {reader::shell, errc::unsupported, R"({"id":"1","capability":"shell.exec","parameters":{"command":"ls"},"context":{"credentials":{}}})"sv, "context.credentials: not enforced by this runner, so refused"},
        {reader::shell, errc::unsupported, R"({"id":"1","capability":"shell.exec","parameters":{"command":"ls"},"context":{"credentials":null}})"sv, "context.credentials: not enforced by this runner, so refused"},
        {reader::shell, errc::unsupported, R"({"id":"1","capability":"shell.exec","parameters":{"command":"ls"},"context":{"session":{}}})"sv, "context.session: not enforced by this runner, so refused"},
        {reader::shell, errc::unsupported, R"({"id":"1","capability":"shell.exec","parameters":{"command":"ls"},"context":{"session":null}})"sv, "context.session: not enforced by this runner, so refused"},
        {reader::shell, errc::unsupported, R"({"id":"1","capability":"shell.exec","parameters":{"command":"ls"},"context":{"sandbox":{}}})"sv, "context.sandbox: not enforced by this runner, so refused"},
        {reader::shell, errc::unsupported, R"({"id":"1","capability":"shell.exec","parameters":{"command":"ls"},"context":{"sandbox":null}})"sv, "context.sandbox: not enforced by this runner, so refused"},
        {reader::shell, errc::unsupported, R"({"id":"1","capability":"shell.exec","parameters":{"command":"ls"},"context":{"network_namespace":{}}})"sv, "context.network_namespace: not enforced by this runner, so refused"},
        {reader::shell, errc::unsupported, R"({"id":"1","capability":"shell.exec","parameters":{"command":"ls"},"context":{"network_namespace":null}})"sv, "context.network_namespace: not enforced by this runner, so refused"},
        {reader::shell, errc::unsupported, R"({"id":"1","capability":"shell.exec","parameters":{"command":"ls"},"context":{"limits":{"cpu":1},"session":"s"}})"sv, "context.limits: not enforced by this runner, so refused"},
        {reader::shell, errc::unsupported, R"({"id":"1","capability":"shell.exec","parameters":{"command":"ls"},"context":{"cwd":"/","scope":"a"}})"sv, "context.scope: not enforced by this runner, so refused"},
        {reader::shell, errc::invalid_argument, R"({"id":"1","capability":"shell.exec","parameters":{"command":"ls"},"context":{"netns":"x"}})"sv, "context.netns: is not known here (byte 85)"},
        {reader::shell, errc::invalid_argument, R"({"id":"1","capability":"shell.exec","parameters":{"command":"ls"},"context":{"session_id":"x"}})"sv, "context.session_id: is not known here (byte 90)"},
        {reader::shell, errc::invalid_argument, R"({"id":"1","capability":"shell.exec","parameters":{"command":"ls"},"context":{"cwd":null}})"sv, "context.cwd: must be a string, is null (byte 83)"},
        {reader::shell, errc::invalid_argument, R"({"id":"1","capability":"shell.exec","parameters":{"command":"ls"},"context":{"cwd":1}})"sv, "context.cwd: must be a string, is a number (byte 83)"},
        {reader::shell, errc::invalid_argument, joined({R"({"id":"1","capability":"shell.exec","parameters":{"command":"ls"},"context":{"cwd":")"sv, times(2048, "/a"), R"("}})"sv}), "context.cwd: must be at most 4095 bytes (byte 83)"},
        {reader::shell, errc::invalid_argument, R"({"id":"1","capability":"shell.exec","parameters":{"command":"ls"},"context":{"cwd":"/\u0000"}})"sv, "context.cwd: a NUL (byte 83)"},
        {reader::shell, errc::invalid_argument, R"({"id":"1","capability":"shell.exec","parameters":{"command":"ls"},"context":{"trace_id":1}})"sv, "context.trace_id: must be a string, is a number (byte 88)"},
        {reader::shell, errc::invalid_argument, R"({"id":"1","capability":"shell.exec","parameters":{"command":"ls"},"context":{"trace_id":null}})"sv, "context.trace_id: must be a string, is null (byte 88)"},
        {reader::shell, errc::invalid_argument, joined({R"({"id":"1","capability":"shell.exec","parameters":{"command":"ls"},"context":{"trace_id":")"sv, times(257, "t"), R"("}})"sv}), "context.trace_id: must be at most 256 bytes (byte 88)"},
        {reader::shell, errc::invalid_argument, R"({"id":"1","capability":"shell.exec","parameters":{"command":"ls"},"context":{"env":{"A":"1"}}})"sv, "context.env: is not known here (byte 83)"},
        {reader::shell, errc::invalid_argument, R"({"id":"1","capability":"shell.exec","parameters":{"command":"ls"},"context":{"user":"root"}})"sv, "context.user: is not known here (byte 84)"},
        {reader::shell, errc::invalid_argument, R"({"id":"1","capability":"shell.exec","parameters":{"command":"ls"},"priority":1})"sv, "priority: is not known here (byte 77)"},
        // the body of a workspace exec
        {reader::workspace, errc::invalid_argument, joined({R"({"cmd":["ls"],")"sv, times(200, "n"), R"(":1})"sv}), "nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn: is not known here (byte 217)"},
        {reader::workspace, errc::invalid_argument, R"({"cmd":["ls"],"\u001b[31m":1})"sv, "\033[31m: is not known here (byte 27)"},
        {reader::workspace, errc::invalid_argument, R"({"cmd":["ls"],"a.b":1})"sv, "a.b: is not known here (byte 20)"},
        {reader::workspace, errc::invalid_argument, "{\"cmd\":[\"ls\"],\"\303\251\":1}"sv, "\303\251: is not known here (byte 19)"},
    };
}
// clang-format on

result<void> read(reader by, std::string_view body) {
    const auto verdict = [](const auto& got) -> result<void> {
        if (!got) return got.error();
        return {};
    };
    switch (by) {
        case reader::document: return verdict(wire::json_document::parse(body));
        case reader::workspace: return verdict(wire::read_workspace_request(body));
        case reader::parameters: return wire::validate_shell(body);
        case reader::shell: return verdict(wire::read_shell_line(body).request);
    }
    return {};
}

TEST_CASE("hostile bodies: each is refused with its code and its place") {
    const auto all = bodies();
    CHECK(all.size() >= 200);
    for (const auto& row : all) {
        const auto got = read(row.by, row.body);
        CAPTURE(row.body);
        REQUIRE_FALSE(got.has_value());
        CHECK(got.error().code == row.code);
        CHECK(got.error().context == row.context);
        CHECK(got.error().context.size() < 300);
    }
}

TEST_CASE("hostile bodies: every prefix of a good one is refused") {
    const auto whole = R"({"cmd":["git","log","--format=\u00e9\n"],"timeout_s":-12,"x-trace":{"a":[true,null,1.5]}})"sv;
    CHECK(read(reader::workspace, whole).has_value());
    for (std::size_t size = 0; size < whole.size(); ++size) {
        CAPTURE(size);
        CHECK_FALSE(read(reader::workspace, whole.substr(0, size)).has_value());
    }
}

TEST_CASE(
    "hostile bodies: no byte that is put into a good one, or changed in it, is taken for something else in silence") {
    const auto good = R"({"cmd":["ls"],"timeout_s":7})"sv;
    int taken = 0;
    for (std::size_t at = 0; at <= good.size(); ++at) {
        for (int byte = 0; byte < 256; ++byte) {
            auto body = std::string(good);
            body.insert(at, 1, static_cast<char>(byte));
            const auto got = wire::read_workspace_request(body);
            if (!got) continue;
            ++taken;
            // Blank between tokens, a byte more in the word, a digit or sign more in the number.
            const auto changed = std::string(got->words.program());
            const bool same_word = changed == "ls";
            const bool same_time = got->timeout == std::chrono::seconds(7);
            CAPTURE(body);
            CHECK((same_word || (changed.size() == 3 && at >= 9 && at <= 11)));
            CHECK((same_time || (at >= 26 && at <= 27)));
        }
    }
    CHECK(taken > 100);
}

}  // namespace

#include <doctest/doctest.h>

#include <exec/job_registry.h>

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

namespace {

bool takes_tag(std::string_view tag) {
    const auto answer = exec::check_tag(tag);
    if (!answer) REQUIRE(answer.error().code == exec::errc::invalid_argument);
    return answer.has_value();
}

bool is_refused(std::string_view selector) {
    const auto parsed = exec::job_selector::parse(selector);
    if (!parsed) REQUIRE(parsed.error().code == exec::errc::invalid_argument);
    return !parsed;
}

constexpr auto an_id = "0123456789abcdef0123456789abcdef";

}  // namespace

TEST_CASE("tag: of all bytes, letters and digits may stand anywhere, and . _ - not in front") {
    constexpr std::string_view letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    constexpr std::string_view marks = "._-";
    for (int value = 0; value < 256; ++value) {
        const char byte = static_cast<char>(value);
        const bool letter = letters.find(byte) != std::string_view::npos;
        const bool mark = marks.find(byte) != std::string_view::npos;
        CAPTURE(value);
        CHECK(takes_tag(std::string{byte} + "a") == letter);
        CHECK(takes_tag(std::string("a") + byte) == (letter || mark));
        CHECK(takes_tag(std::string("a") + byte + "b") == (letter || mark));
    }
}

TEST_CASE("tag: from 1 to 64 bytes, and never digits alone") {
    CHECK_FALSE(takes_tag(""));
    CHECK(takes_tag("a"));
    CHECK(takes_tag(std::string(64, 'a')));
    CHECK_FALSE(takes_tag(std::string(65, 'a')));
    CHECK_FALSE(takes_tag("7"));
    CHECK_FALSE(takes_tag("4711"));
    CHECK_FALSE(takes_tag(std::string(64, '9')));
    CHECK(takes_tag("4711a"));
    CHECK(takes_tag("4.7"));
    CHECK(takes_tag("proc-0f3a91c2"));
}

TEST_CASE("tag: a refusal quotes nothing of the tag") {
    const auto answer = exec::check_tag("\x1b]52;c;c2VjcmV0\x07");
    REQUIRE_FALSE(answer.has_value());
    CHECK(answer.error().context.find("52") == std::string::npos);
    CHECK(answer.error().context.find('\x1b') == std::string::npos);
}

TEST_CASE("selector: digits are a pid, id: an id, the rest a tag, and text() gives each back") {
    const auto pid = exec::job_selector::parse("4711");
    REQUIRE(pid.has_value());
    REQUIRE(pid->pid() != nullptr);
    CHECK(*pid->pid() == 4711);
    CHECK((pid->tag() == nullptr && pid->id() == nullptr));

    const auto id = exec::job_selector::parse(std::string("id:") + an_id);
    REQUIRE(id.has_value());
    REQUIRE(id->id() != nullptr);
    CHECK(id->id()->text() == an_id);
    CHECK((id->tag() == nullptr && id->pid() == nullptr));

    // Without its prefix an id is a tag like any other.
    const auto tag = exec::job_selector::parse(an_id);
    REQUIRE(tag.has_value());
    REQUIRE(tag->tag() != nullptr);
    CHECK(*tag->tag() == an_id);
    CHECK_FALSE(*tag == *id);

    for (const auto& each : {*pid, *id, *tag, exec::job_selector::tagged("web"), exec::job_selector::with_pid(1),
                             exec::job_selector::with_pid(INT64_MAX)}) {
        const auto back = exec::job_selector::parse(each.text());
        REQUIRE(back.has_value());
        CHECK(*back == each);
    }
}

TEST_CASE("selector: what is no pid, no id and no tag is refused rather than guessed") {
    for (const auto* text :
         {"", " ", "0", "007", "-1", "+1", "1 ", "9223372036854775808", "99999999999999999999999999", "id:", "id:17",
          "id:0123456789ABCDEF0123456789ABCDEF", "ID:web", "a b", "web/1", "*", "..", "%00", "café"}) {
        CHECK_MESSAGE(is_refused(text), text);
    }
    CHECK(is_refused(std::string_view("web\0", 4)));
    CHECK(is_refused(std::string(1 << 20, '1')));
}

TEST_CASE("selector: a default one selects nothing, and its text is refused") {
    const exec::job_selector nothing;
    CHECK((nothing.id() == nullptr && nothing.tag() == nullptr && nothing.pid() == nullptr));
    CHECK(nothing.text().empty());
    CHECK(is_refused(nothing.text()));
}

TEST_CASE("job_state: every state has a word of its own") {
    using exec::job_state;
    CHECK(to_string(job_state::starting) == "starting");
    CHECK(to_string(job_state::running) == "running");
    CHECK(to_string(job_state::ended) == "ended");
    CHECK(to_string(job_state::lost) == "lost");
}

#include <doctest/doctest.h>

#include <exec/log.h>

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace {

// logfmt, as a host would write it.
class line_sink final : public exec::log_sink {
   public:
    std::vector<std::string> lines{};
    exec::log_level least = exec::log_level::debug;

    bool wants(exec::log_level how) const noexcept override { return how >= least; }
    void write(exec::log_level how, std::string_view event, std::span<const exec::log_field> fields) override {
        auto line = std::string(to_string(how)) + " " + std::string(event);
        for (const auto& field : fields)
            line += " " + std::string(field.name) + "=" + std::visit(to_text{}, field.value);
        lines.push_back(line);
    }

   private:
    struct to_text {
        std::string operator()(bool value) const { return value ? "true" : "false"; }
        std::string operator()(exec::nanoseconds value) const { return std::to_string(value.count()) + "ns"; }
        std::string operator()(std::string_view value) const { return std::string(value); }
        template <class Number>
        std::string operator()(Number value) const {
            return std::to_string(value);
        }
    };
};

}  // namespace

TEST_CASE(
    "log: each value keeps its kind: a literal is text and not a bool, a size is unsigned, a duration is a duration") {
    const std::string owned = "job";
    const std::vector<exec::log_field> fields{
        {"literal", "x"},
        {"owned", std::string_view(owned)},
        {"flag", true},
        {"code", -7},
        {"small", std::uint8_t{200}},
        {"bytes", std::size_t{18'446'744'073'709'551'615U}},
        {"pid", std::int64_t{4711}},
        {"took", exec::nanoseconds(5)},
        {"grace", exec::milliseconds(2)},
        {"never", exec::unlimited},
    };
    line_sink sink;
    sink.write(exec::log_level::info, "dispatch.call.ended", fields);
    REQUIRE(sink.lines.size() == 1);
    CHECK(
        sink.lines[0] ==
        "info dispatch.call.ended literal=x owned=job flag=true code=-7 small=200 bytes=18446744073709551615 pid=4711 "
        "took=5ns grace=2000000ns never=9223372036854775807ns");
}

TEST_CASE("log: levels are ordered, so that a sink can name the least it wants") {
    line_sink sink;
    sink.least = exec::log_level::warning;
    CHECK_FALSE(sink.wants(exec::log_level::debug));
    CHECK_FALSE(sink.wants(exec::log_level::info));
    CHECK(sink.wants(exec::log_level::warning));
    CHECK(sink.wants(exec::log_level::error));
}

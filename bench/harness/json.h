// json: a writer that puts the commas.
#pragma once

#include <cstdio>
#include <string>
#include <string_view>

namespace bench {

class json {
   public:
    json& begin(char bracket) {
        separate();
        out_ += bracket;
        first_ = true;
        return *this;
    }
    json& end(char bracket) {
        out_ += bracket;
        first_ = false;
        return *this;
    }
    json& key(std::string_view name) {
        text(name);
        out_ += ": ";
        first_ = true;  // its value follows without a comma
        return *this;
    }
    json& text(std::string_view value) {
        separate();
        out_ += '"';
        for (const char c : value) {
            if (c == '"' || c == '\\') out_ += '\\';
            out_ += static_cast<unsigned char>(c) < ' ' ? ' ' : c;
        }
        out_ += '"';
        return *this;
    }
    json& number(double value) {
        separate();
        char text[32];
        std::snprintf(text, sizeof text, "%.6g", value);
        out_ += text;
        return *this;
    }
    json& null() {
        separate();
        out_ += "null";
        return *this;
    }
    const std::string& str() const noexcept { return out_; }

   private:
    void separate() {
        if (!first_) out_ += ", ";
        first_ = false;
    }
    std::string out_{};
    bool first_ = true;
};

}  // namespace bench

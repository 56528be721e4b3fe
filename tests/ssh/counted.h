// Providers and policies that write down what they were asked.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <exec/ssh/credentials.h>
#include <exec/ssh/host_keys.h>

namespace test {

class counted_login final : public exec::ssh::provider {
   public:
    using answer_function = std::function<exec::result<exec::ssh::credential>(const exec::ssh::login_request&)>;

    explicit counted_login(answer_function give) : give_(std::move(give)) {}
    // Always this one.
    explicit counted_login(exec::ssh::credential what)
        : give_([what = std::move(what)](const exec::ssh::login_request&) { return what; }) {}

    void obtain(const exec::ssh::login_request& who, exec::reply<exec::ssh::credential> answer) override {
        asked.push_back(who);
        answer(give_(who));
    }

    std::vector<exec::ssh::login_request> asked{};

   private:
    answer_function give_;
};

class counted_trust final : public exec::ssh::host_keys {
   public:
    explicit counted_trust(std::shared_ptr<exec::ssh::host_keys> in) : in_(std::move(in)) {}

    std::vector<std::string> algorithms(const exec::ssh::host_name& of) const override { return in_->algorithms(of); }
    void check(const exec::ssh::host_name& of, const exec::ssh::host_key& key, exec::reply<void> trusted) override {
        shown.push_back(key);
        in_->check(of, key, std::move(trusted));
    }

    std::vector<exec::ssh::host_key> shown{};

   private:
    const std::shared_ptr<exec::ssh::host_keys> in_;
};

// How often a text has a word.
inline std::size_t times(const std::string& text, const std::string& word) {
    std::size_t count = 0;
    for (auto at = text.find(word); at != std::string::npos; at = text.find(word, at + word.size())) ++count;
    return count;
}

}  // namespace test

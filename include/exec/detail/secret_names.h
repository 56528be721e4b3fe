// What a secret is called, and what it looks like: the tables behind the default redactor.
//
// Threads: pure functions.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <string_view>

namespace exec::inline v0::detail {

constexpr char lower(char byte) noexcept { return byte >= 'A' && byte <= 'Z' ? static_cast<char>(byte | 0x20) : byte; }
constexpr bool is_lower_letter(char byte) noexcept { return byte >= 'a' && byte <= 'z'; }
constexpr bool is_upper_letter(char byte) noexcept { return byte >= 'A' && byte <= 'Z'; }
constexpr bool is_letter_or_digit(char byte) noexcept {
    return is_lower_letter(lower(byte)) || (byte >= '0' && byte <= '9');
}
// What names of options, variables, headers and keys are made of.
constexpr bool is_name_byte(char byte) noexcept {
    return is_letter_or_digit(byte) || byte == '_' || byte == '-' || byte == '.';
}

constexpr bool equals_ignoring_case(std::string_view text, std::string_view lower_case) noexcept {
    return std::equal(text.begin(), text.end(), lower_case.begin(), lower_case.end(),
                      [](char a, char b) { return lower(a) == b; });
}

// Without separators and in lower case, as in "x-api-key" and "ApiKey".
class squeezed_name {
   public:
    static constexpr std::size_t longest = 64;  // of a longer name the end says what it is

    explicit constexpr squeezed_name(std::string_view name) noexcept {
        if (name.size() > longest) name.remove_prefix(name.size() - longest);
        for (const char byte : name) {
            if (is_letter_or_digit(byte)) bytes_[size_++] = lower(byte);
        }
    }
    constexpr std::string_view text() const noexcept { return {bytes_.data(), size_}; }

   private:
    std::array<char, longest> bytes_{};
    std::size_t size_ = 0;
};

// Takes the last part off a name: behind a separator, or from the capital of a camel on.
constexpr std::string_view take_last_part(std::string_view& name) noexcept {
    while (!name.empty() && !is_letter_or_digit(name.back())) name.remove_suffix(1);
    auto at = name.size();
    while (at > 0 && is_letter_or_digit(name[at - 1])) {
        --at;
        if (at > 0 && is_upper_letter(name[at]) && is_lower_letter(name[at - 1])) break;
    }
    const auto part = name.substr(at);
    name = name.substr(0, at);
    return part;
}

template <std::size_t N>
constexpr bool is_one_of(std::string_view part, const std::array<std::string_view, N>& table) noexcept {
    return std::any_of(table.begin(), table.end(), [part](auto word) { return equals_ignoring_case(part, word); });
}

// Whether the value behind this name is to be hidden. "tokens" and "tokenizer" are about text, PWD is a directory, and a
// name like password-file holds where the secret is, not the secret.
constexpr bool is_secret_name(std::string_view name) noexcept {
    constexpr std::array<std::string_view, 13> anywhere{
        "password",   "passwd",  "passphrase", "secret",        "credential",    "apikey", "accesskey",
        "privatekey", "authkey", "signingkey", "encryptionkey", "authorization", "cookie"};
    constexpr std::array<std::string_view, 2> at_the_end{"token", "pass"};
    constexpr std::array<std::string_view, 12> as_a_part{"token",  "pass",    "pwd", "auth",      "jwt",    "sig",
                                                         "bearer", "authkey", "pat", "signature", "passin", "passout"};
    constexpr std::array<std::string_view, 15> about_it{"file", "stdin",  "path",   "name",   "fd",
                                                        "dir",  "env",    "type",   "ttl",    "id",
                                                        "url",  "length", "policy", "prompt", "helper"};
    if (name.size() > squeezed_name::longest) name.remove_prefix(name.size() - squeezed_name::longest);
    if (name == "PWD") return false;
    const squeezed_name squeezed(name);
    const auto text = squeezed.text();
    if (text.size() < 3 || text.ends_with("file") || text.ends_with("bypass") || text.ends_with("compass"))
        return false;
    auto rest = name;
    auto part = take_last_part(rest);
    if (is_one_of(part, about_it)) return false;
    for (const auto word : anywhere) {
        if (text.find(word) != std::string_view::npos) return true;
    }
    for (const auto word : at_the_end) {
        if (text.ends_with(word)) return true;
    }
    for (; !part.empty(); part = take_last_part(rest)) {
        if (is_one_of(part, as_a_part)) return true;
    }
    return false;
}

// An option and nothing else, whose value is the next word.
constexpr bool is_secret_option(std::string_view word) noexcept {
    return word.size() > 2 && word.front() == '-' && std::all_of(word.begin(), word.end(), is_name_byte) &&
           is_secret_name(word);
}

// Short options are told apart by the program: -p is a port to one and a password to another.
struct secret_option {
    std::string_view program;
    std::string_view option;
    bool attached;           // -pvalue
    bool next_word;          // -p value
    bool after_colon_alone;  // of user:password, the password
};
inline constexpr std::array<secret_option, 21> secret_options{{
    {"curl", "-u", true, true, true},
    {"curl", "--user", false, true, true},
    {"curl", "-U", true, true, true},
    {"curl", "--proxy-user", false, true, true},
    {"mysql", "-p", true, false, false},
    {"mysqldump", "-p", true, false, false},
    {"mysqladmin", "-p", true, false, false},
    {"mysqlimport", "-p", true, false, false},
    {"mariadb", "-p", true, false, false},
    {"mariadb-dump", "-p", true, false, false},
    {"mariadb-admin", "-p", true, false, false},
    {"sshpass", "-p", true, true, false},
    {"login", "-p", true, true, false},  // docker login, podman login, helm registry login
    {"mongosh", "-p", true, true, false},
    {"mongodump", "-p", true, true, false},
    {"redis-cli", "-a", false, true, false},
    {"ldapsearch", "-w", true, true, false},
    {"ldapmodify", "-w", true, true, false},
    {"sqlcmd", "-P", true, true, false},
    {"zip", "-P", true, true, false},
    {"unzip", "-P", true, true, false},
}};
constexpr std::array<std::string_view, 10> shell_names{"sh",   "bash", "dash", "zsh", "ksh",
                                                       "mksh", "ash",  "fish", "csh", "tcsh"};

// Tokens that bear their maker's prefix.
struct token_shape {
    std::string_view prefix;
    std::size_t least;  // letters, digits, '_' and '-' behind the prefix
};
inline constexpr std::array<token_shape, 22> token_shapes{{
    {"ghp_", 20},  {"gho_", 20},  {"ghu_", 20},      {"ghs_", 20},  {"ghr_", 20},     {"github_pat_", 20},
    {"AKIA", 16},  {"ASIA", 16},  {"xoxa-", 10},     {"xoxb-", 10}, {"xoxe-", 10},    {"xoxo-", 10},
    {"xoxp-", 10}, {"xoxr-", 10}, {"xoxs-", 10},     {"sk-", 20},   {"sk_live_", 10}, {"glpat-", 20},
    {"npm_", 30},  {"AIza", 35},  {"dckr_pat_", 20}, {"hf_", 30},
}};
constexpr bool is_token_byte(char byte) noexcept { return is_letter_or_digit(byte) || byte == '_' || byte == '-'; }

// How many bytes at the front of `text` are such a token; 0 if it is none.
constexpr std::size_t token_bytes(std::string_view text) noexcept {
    if (text.empty() || std::string_view("gAxsnhd").find(text.front()) == std::string_view::npos) return 0;
    for (const auto& shape : token_shapes) {
        if (!text.starts_with(shape.prefix)) continue;
        auto end = shape.prefix.size();
        while (end < text.size() && is_token_byte(text[end])) ++end;
        return end - shape.prefix.size() >= shape.least ? end : 0;
    }
    return 0;
}

}  // namespace exec::inline v0::detail

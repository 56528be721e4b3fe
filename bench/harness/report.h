// report: what a benchmark prints. A table for a reader, the same as JSON for the plots, and its targets.
//
// A target that is missed ends the program with status 1, unless known.md names it, explains it, and accepts a figure
// that is no better than the one measured.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

namespace bench {

enum class kind { floor, peer, ours };

class report {
   public:
    // Reads the arguments that every benchmark has: --json FILE, --rounds N. Ends the program where they are wrong.
    report(std::string name, std::string title, int argc, char** argv);

    // How many rounds are asked for.
    std::size_t rounds(std::size_t unless_told) const { return rounds_ ? *rounds_ : unless_told; }

    // A column of figures with so many digits behind the point.
    void column(std::string heading, int digits);
    // The figures of one side, a value a column; nothing where it was not measured.
    void row(std::string side, kind what, std::vector<std::optional<double>> values);
    // A line below the table.
    void note(std::string line) { notes_.push_back(std::move(line)); }

    void at_least(std::string what, double got, double wanted) { target(std::move(what), got, wanted, true); }
    void at_most(std::string what, double got, double wanted) { target(std::move(what), got, wanted, false); }
    // A target that is worth showing and fails nothing.
    void stretch(std::string what, double got, double wanted, bool at_least);

    // Prints everything. The status of the program.
    int finish();

    // Ends the program: this machine cannot run the benchmark. Prints `SKIP: why`.
    [[noreturn]] void skip(const std::string& why) const;

   private:
    struct heading {
        std::string text;
        int digits;
    };
    struct figures {
        std::string side;
        kind what;
        std::vector<std::optional<double>> values;
    };
    enum class verdict { met, known, missed, stretch };
    struct goal {
        std::string what;
        double got;
        double wanted;
        bool at_least;
        verdict is;
    };

    void target(std::string what, double got, double wanted, bool at_least);
    void print() const;
    void write_json() const;

    std::string name_;
    std::string title_;
    std::string json_{};
    std::optional<std::size_t> rounds_{};
    std::vector<heading> columns_{};
    std::vector<figures> rows_{};
    std::vector<goal> aims_{};
    std::vector<std::string> notes_{};
};

}  // namespace bench

// metrics/text_table: rows of text, numbers and bars -> an aligned table in plain text
// SPDX-License-Identifier: Apache-2.0
//
//     moe::text_table t{{{.title = "expert"}, {.title = "load", .unit = "%", .digits = 1}, {.title = "", .left = true}}};
//     t.row({index, 100.0 * share, moe::bar{share}});
//     std::fputs(t.text().c_str(), stdout);
//
// A column is as wide as its widest cell; numbers stand right with the column's digits, the unit stands in the title. A cell
// is a text, an integer, a number or a bar. NaN prints as "nan", an absent cell as nothing.
// errors        a row with more cells than columns
#pragma once

#include <algorithm>
#include <charconv>
#include <cmath>
#include <initializer_list>
#include <vector>

#include "moe/core/error.hpp"

MOE_BEGIN

struct table_column {
    std::string title = {};
    std::string unit = {};  // printed as "title [unit]"
    int digits = 3;         // behind the point, of numbers
    bool left = false;
};

// `share` of `width` characters, rounded to the nearest; below 0, above 1 and NaN are cut to [0, 1].
struct bar {
    double share = 0.0;
    int width = 20;
};

class table_cell {
public:
    table_cell(const char* text) : text_(text) {}
    table_cell(std::string text) : text_(std::move(text)) {}
    template <class T>
        requires std::is_integral_v<T>
    table_cell(T number) : text_(std::to_string(number)) {}
    table_cell(double number) : number_(number), numeric_(true) {}
    table_cell(bar b) {
        const double share = b.share > 0.0 ? (b.share < 1.0 ? b.share : 1.0) : 0.0;
        text_.assign(static_cast<std::size_t>(std::lround(share * b.width)), '#');
    }

    std::string text(int digits) const {
        if (!numeric_) return text_;
        if (number_ != number_) return "nan";
        char buffer[400];  // the longest double has 309 digits before the point
        const auto end = std::to_chars(buffer, buffer + sizeof buffer, number_, std::chars_format::fixed, digits);
        if (end.ec != std::errc()) throw_value("text_table: digits", "at most 80", std::to_string(digits));
        return std::string(buffer, end.ptr);
    }

private:
    std::string text_;
    double number_ = 0.0;
    bool numeric_ = false;
};

class text_table {
public:
    explicit text_table(std::vector<table_column> columns) : columns_(std::move(columns)) {
        for (const table_column& c : columns_) {
            widths_.push_back(letters(title(c)));
        }
    }

    void row(std::initializer_list<table_cell> cells) { row(std::vector<table_cell>(cells)); }
    void row(const std::vector<table_cell>& cells) {
        if (cells.size() > columns_.size()) {
            throw_shape("text_table: row", std::string("at most ") + std::to_string(columns_.size()) + " cells",
                        std::to_string(cells.size()));
        }
        std::vector<std::string> texts(columns_.size());
        for (std::size_t i = 0; i < cells.size(); ++i) {
            texts[i] = cells[i].text(columns_[i].digits);
            widths_[i] = std::max(widths_[i], letters(texts[i]));
        }
        rows_.push_back(std::move(texts));
    }

    // Title line, then the rows; every line ends with \n and has no blanks at its end.
    std::string text() const {
        std::vector<std::string> titles;
        for (const table_column& c : columns_) titles.push_back(title(c));
        std::string out = line(titles);
        for (const auto& texts : rows_) out += line(texts);
        return out;
    }

private:
    static std::string title(const table_column& c) { return c.unit.empty() ? c.title : c.title + " [" + c.unit + "]"; }

    // Characters, not bytes, of UTF-8.
    static std::size_t letters(const std::string& s) {
        std::size_t n = 0;
        for (const char c : s) n += (static_cast<unsigned char>(c) & 0xC0) != 0x80 ? 1 : 0;
        return n;
    }

    std::string line(const std::vector<std::string>& texts) const {
        std::string out;
        for (std::size_t i = 0; i < texts.size(); ++i) {
            const std::string blanks(widths_[i] - letters(texts[i]), ' ');
            if (i != 0) out += "  ";
            out += columns_[i].left ? texts[i] + blanks : blanks + texts[i];
        }
        out.erase(out.find_last_not_of(' ') + 1);
        return out + "\n";
    }

    std::vector<table_column> columns_;
    std::vector<std::size_t> widths_;
    std::vector<std::vector<std::string>> rows_;
};

MOE_END

// Markdown to man(7): so much of it as the reference and the commands' description use, which are
// headings, paragraphs, lists, tables of what there is, blocks of code, and `code`, **bold**,
// *italic*, [links](to). Tables become lists of their first column.
//
// Source: man(7), groff_char(7).
#pragma once

#include <string>
#include <string_view>

namespace fettle {

struct ManTitle {
  std::string_view name;     // "fettle-rules"
  std::string_view section;  // "5"
  std::string_view summary;  // of a NAME section; empty: the text has one
};

// The date is that of SOURCE_DATE_EPOCH where that is set, else today.
std::string man_page(const ManTitle& title, std::string_view markdown);

}  // namespace fettle

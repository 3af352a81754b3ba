// Searches of texts for what steps replace: edits lie in order within what is decided, whatever the
// text, and a text in two pieces becomes what it becomes whole.
#include <algorithm>
#include <cstdlib>
#include <memory>
#include <string>

#include "rules/address_search.h"
#include "rules/edit_text.h"
#include "rules/replacement.h"

namespace fettle {
namespace {

using Bytes = std::span<const std::byte>;

struct Searches {
  Searches() {
    for (const char* inside : {"10.9.1.2", "10.9.0.0/16", "9.0.0.0/8", "fd00::2", "fd00:1::/32"}) {
      const auto prefix = Prefix::parse(inside);
      entries.push_back({.inside = *prefix, .outside = *prefix, .where = {}});
      entries.back().outside.address.bytes[0] = std::byte{0x21};
    }
    size_t duplicate = 0;
    table = std::move(*AddressTable::build(entries, false, &duplicate));
    bool in_pattern = false;
    for (const auto& [pattern, with] :
         {std::pair("a[0-9]+b", "<$0>"), std::pair("(?m)^x(.)y$", "$1"),
          std::pair("\\bq+\\b", "longer"), std::pair("[^\\x00]z", "")}) {
      replacements.push_back(std::move(*Replacement::make(
          {.pattern = pattern, .ignore_case = false, .only_sifts = true, .where = {}}, with,
          &in_pattern)));
    }
  }
  uint32_t find(size_t which, const EditText& text, EditWorkspace& workspace) const {
    static const AddressBeginnings beginnings(entries, false, Family::kIpv4);
    if (which == 0) return find_text(table, text, workspace.list);
    if (which == 1) return find_comma(table, text, workspace.list);
    if (which == 2) return find_binary(table, beginnings, Family::kIpv4, text, workspace.list);
    bool gave_up = false;
    const uint32_t open = replacements[which % replacements.size()].find(text, workspace, &gave_up);
    if (gave_up) std::abort();  // none of these patterns is costly
    return open;
  }
  std::vector<TableEntry> entries;
  AddressTable table;
  std::vector<Replacement> replacements;
};

// What is decided of the text, edited; *open is the size of the rest.
std::string edited(const EditText& text, EditWorkspace& workspace, uint32_t found, uint32_t* open) {
  const auto size = static_cast<uint32_t>(text.bytes.size());
  if (found > size || (text.ends && found > 0)) std::abort();
  const uint32_t end = workspace.list.end_before(size - found);
  workspace.list.cut(end);
  std::string out;
  uint32_t from = 0;
  const auto append = [&](Bytes bytes) {
    out.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  };
  for (const StreamEdit& edit : workspace.list.edits()) {
    if (edit.offset < from || edit.length == 0 || edit.length > end - edit.offset) std::abort();
    append(text.bytes.subspan(from, edit.offset - from));
    append(edit.with);
    from = edit.offset + edit.length;
  }
  append(text.bytes.subspan(from, end - from));
  *open = size - end;
  return out;
}

}  // namespace
}  // namespace fettle

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace fettle;
  static const Searches searches;
  static const auto workspace = std::make_unique<EditWorkspace>();
  if (size < 3 || size > 2000) return 0;
  const size_t which = data[0] % 7;
  const Bytes all = std::as_bytes(std::span(data + 3, size - 3));
  const size_t cut = (data[1] << 8 | data[2]) % (all.size() + 1);
  uint32_t open = 0;
  const auto run = [&](const EditText& text) {
    workspace->list.clear();
    const uint32_t found = searches.find(which, text, *workspace);
    return workspace->list.full() ? std::nullopt
                                  : std::optional(edited(text, *workspace, found, &open));
  };
  const auto whole = run({.bytes = all, .before = {}});
  const auto first = run({.bytes = all.first(cut), .before = {}, .ends = false});
  if (!whole || !first) return 0;
  const size_t decided = cut - open;
  const size_t before = std::min<size_t>(decided, stream::kBefore);
  const auto second = run({.bytes = all.subspan(decided),
                           .before = all.subspan(decided - before, before),
                           .begins = decided == 0});
  if (second && *first + *second != *whole) std::abort();
  return 0;
}

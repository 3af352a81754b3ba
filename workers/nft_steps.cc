#include "workers/nft_steps.h"

#include <algorithm>

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace fettle {
namespace {

constexpr size_t kMostHosts = 4096;    // of a table, as one anonymous map
constexpr size_t kMostPrefixes = 128;  // each is a rule that packets walk past
constexpr size_t kMostBytes = 16;      // of nft's registers

std::vector<std::byte> bytes_of(const Address& address) {
  return {address.span().begin(), address.span().end()};
}

// Zeros in the network, ones in the host; or the other way round.
std::vector<std::byte> mask_of(const Prefix& prefix, bool host) {
  std::vector<std::byte> out(prefix.address.size());
  for (uint32_t bit = 0; bit < prefix.address.bits(); ++bit)
    if ((bit >= prefix.length) == host) out[bit / 8] |= std::byte{0x80} >> (bit % 8);
  return out;
}

// How an address is named at its place, and how its values are written there.
struct Place {
  std::string name;
  bool header = false;

  std::string value(const std::vector<std::byte>& bytes, Family family) const {
    return header ? Address::from_bytes(family, bytes.data()).to_string() : nft_number(bytes);
  }
};

struct Entry {
  Prefix from, to;
};

std::vector<Entry> entries_of(const Table& table, Family family, bool reverse) {
  std::vector<Entry> out;
  for (const TableEntry& entry : table.entries) {
    if (entry.inside.address.family != family) continue;
    out.push_back(reverse ? Entry{entry.outside, entry.inside}
                          : Entry{entry.inside, entry.outside});
  }
  std::ranges::stable_sort(out, std::ranges::greater(),
                           [](const Entry& entry) { return entry.from.length; });
  return out;
}

void add_entries(const std::vector<Entry>& entries, const Place& place, NftWords* out) {
  NftWords hosts;
  for (const Entry& entry : entries) {
    if (!entry.from.is_host()) break;
    const Family family = entry.from.address.family;
    hosts.push_back(fmt::format("{} : {}", place.value(bytes_of(entry.from.address), family),
                                place.value(bytes_of(entry.to.address), family)));
  }
  if (!hosts.empty()) {
    out->push_back(fmt::format("{0} set {0} map {{ {1} }}", place.name, fmt::join(hosts, ", ")));
  }
  for (const Entry& entry : entries) {
    if (entry.from.is_host()) continue;
    const Family family = entry.from.address.family;
    const auto value = [&](const std::vector<std::byte>& bytes) {
      return place.value(bytes, family);
    };
    out->push_back(
        fmt::format("{0} & {1} == {2} {0} set {0} & {3} | {4}", place.name,
                    value(mask_of(entry.from, false)), value(bytes_of(entry.from.address)),
                    value(mask_of(entry.from, true)), value(bytes_of(entry.to.address))));
  }
}

std::string too_much(const std::vector<Entry>& entries) {
  const auto hosts =
      std::ranges::count_if(entries, [](const Entry& entry) { return entry.from.is_host(); });
  if (static_cast<size_t>(hosts) > kMostHosts || entries.size() - hosts > kMostPrefixes)
    return fmt::format("translate: a table of more than {} addresses or {} prefixes", kMostHosts,
                       kMostPrefixes);
  if (!entries.empty() && entries.back().from.length == 0) return "translate: all addresses";
  return "";
}

// Of the family that the place is of; kNone: it is no address.
Family family_at(uint32_t at) {
  if (at == 12 || at == 16) return Family::kIpv4;
  return at == 8 || at == 24 ? Family::kIpv6 : Family::kNone;
}

void translate_header(const Table& table, const TranslateStep& step, const Scope& scope,
                      NftTranslation* out) {
  const Family family = family_at(step.at);
  const bool wide = family == Family::kIpv6;
  if (family == Family::kNone || (wide ? scope.ipv4 : scope.ipv6)) {
    out->refused = "translate: a place in the header that is not the address of each packet";
    return;
  }
  const auto entries = entries_of(table, family, step.reverse);
  out->refused = too_much(entries);
  if (entries.empty()) out->refused = "translate: a table of the other family";
  const bool source = step.at == 12 || step.at == 8;
  const Place place{fmt::format("{} {}", wide ? "ip6" : "ip", source ? "saddr" : "daddr"), true};
  add_entries(entries, place, &out->ways);
}

// Where a table has both families, the packet's counts.
void translate_payload(const Table& table, const TranslateStep& step, const Scope& scope,
                       NftTranslation* out) {
  auto entries = entries_of(table, Family::kIpv4, step.reverse);
  auto wide = entries_of(table, Family::kIpv6, step.reverse);
  if (!entries.empty() && !wide.empty() && scope.ipv4 && scope.ipv6) {
    out->refused = "translate: a table of both families";
    return;
  }
  if (entries.empty() || (!wide.empty() && !scope.ipv4)) entries = std::move(wide);
  if (entries.empty()) {
    out->refused = "translate: an empty table";
    return;
  }
  out->size = entries.front().from.address.size();
  out->refused = too_much(entries);
  if (!nft_reaches(step.from, step.at + out->size, 1)) out->refused = "translate: too far";
  // The kernel sums up words from an even place on.
  if (step.at % 2 != 0) out->refused = "translate: at an odd place";
  add_entries(entries, {nft_bytes(step.from, step.at, out->size)}, &out->ways);
}

}  // namespace

std::string nft_write(const WriteStep& step) {
  const auto end = static_cast<uint32_t>(step.at + step.bytes.size());
  const auto part = [&](uint32_t first, uint32_t last) {
    const auto begin = step.bytes.begin() - step.at;
    return nft_number({begin + first, begin + last});
  };
  NftWords writes;
  uint32_t at = step.at;
  if (at % 2 != 0) {  // within the word that the kernel sums up
    const std::string word = nft_bytes(Origin::kPayload, at - 1, 2);
    writes.push_back(fmt::format("{0} set {0} & 0xff00 | {1}", word, part(at, at + 1)));
    ++at;
  }
  for (; at < end; at += kMostBytes) {
    const uint32_t last = std::min<uint32_t>(end, at + kMostBytes);
    writes.push_back(
        fmt::format("{} set {}", nft_bytes(Origin::kPayload, at, last - at), part(at, last)));
  }
  std::ranges::reverse(writes);
  return fmt::format("{}", fmt::join(writes, " "));
}

NftTranslation nft_translation(const RuleSet& set, const TranslateStep& step, const Scope& scope) {
  NftTranslation out;
  const auto table = std::ranges::find(set.tables, step.table, &Table::name);
  if (step.anywhere || step.form != AddressForm::kBinary || table == set.tables.end()) {
    out.refused = "translate: text, or addresses that have to be looked for";
  } else if (step.from == Origin::kNetwork) {
    translate_header(*table, step, scope, &out);
  } else if (step.from == Origin::kPayload) {
    translate_payload(*table, step, scope, &out);
  } else {
    out.refused = "translate: what an ICMP error quotes";
  }
  return out;
}

}  // namespace fettle

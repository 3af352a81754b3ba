#include "workers/nft_sets.h"

#include <algorithm>
#include <array>
#include <map>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "core/bytes.h"
#include "workers/nft_words.h"
#include "workers/steering_text.h"

namespace fettle {
namespace {

// A set is looked up in the time that twelve rules take which do not hold, whatever its size.
constexpr size_t kFew = 12;
constexpr size_t kMostOfFilter = 256;  // elements; one of more has two sets of its own instead
constexpr size_t kMostElements = 4096;
constexpr size_t kMostSets = 4;  // of one shape

struct Interval {
  std::array<std::byte, 16> low{}, high{};
  std::string text;

  bool contains(const Interval& other) const { return low <= other.low && other.high <= high; }
  bool meets(const Interval& other) const { return low <= other.high && other.low <= high; }
};
using Element = std::vector<Interval>;

bool contains(const Element& one, const Element& other) {
  return std::ranges::equal(one, other,
                            [](const Interval& a, const Interval& b) { return a.contains(b); });
}

bool meet(const Element& one, const Element& other) {
  return std::ranges::equal(one, other,
                            [](const Interval& a, const Interval& b) { return a.meets(b); });
}

// ---- What a filter looks up -------------------------------------------------------------------

bool is_field(Key key) {
  return key == Key::kSrc || key == Key::kDst || key == Key::kSrcPort || key == Key::kDstPort;
}

std::string field_name(Key key, Family family) {
  const std::string_view ip = family == Family::kIpv6 ? "ip6" : "ip";
  switch (key) {
    case Key::kSrc:
      return fmt::format("{} saddr", ip);
    case Key::kDst:
      return fmt::format("{} daddr", ip);
    default:
      return key == Key::kSrcPort ? "th sport" : "th dport";
  }
}

Interval interval_of(const Prefix& prefix) {
  Interval out{prefix.address.bytes, prefix.address.bytes, prefix.to_string()};
  for (uint32_t bit = prefix.length; bit < prefix.address.bits(); ++bit)
    out.high[bit / 8] |= std::byte{0x80} >> bit % 8;
  return out;
}

Interval interval_of(const Range& range) {
  Interval out{{}, {}, std::to_string(range.low)};
  store_be32(out.low.data(), range.low);
  store_be32(out.high.data(), range.high);
  if (range.high > range.low) out.text += fmt::format("-{}", range.high);
  return out;
}

// None of them meets another one: of two prefixes that do, one is within the other.
std::vector<Interval> intervals_of(const Condition& condition, Family family) {
  std::vector<Interval> out;
  const auto add = [&out](Interval one) {
    if (std::ranges::any_of(out, [&](const Interval& of) { return of.contains(one); })) return;
    std::erase_if(out, [&](const Interval& in) { return one.contains(in); });
    out.push_back(std::move(one));
  };
  if (condition.key == Key::kSrcPort || condition.key == Key::kDstPort) {
    for (const Range& range : steering_ranges(condition)) add(interval_of(range));
    return out;
  }
  for (const Operand& operand : condition.any_of) {
    const auto& prefix = std::get<Prefix>(operand);
    if (prefix.address.family == family) add(interval_of(prefix));
  }
  return out;
}

struct Lookup {
  std::string fields;  // "ip saddr . th dport"
  std::vector<Element> elements;
  Match rest;  // what else it asks for
};

// Nothing: it has less than two fields, or more elements than are worth it.
std::optional<Lookup> lookup_of(const Match& match, Family family) {
  Lookup out{"", {{}}, {}};
  size_t fields = 0;
  for (const Condition& condition : match.all_of) {
    if (!is_field(condition.key)) {
      out.rest.all_of.push_back(condition);
      continue;
    }
    out.fields += (fields++ > 0 ? " . " : "") + field_name(condition.key, family);
    const std::vector<Interval> intervals = intervals_of(condition, family);
    if (out.elements.size() * intervals.size() > kMostOfFilter) return std::nullopt;
    std::vector<Element> longer;
    for (const Element& element : out.elements) {
      for (const Interval& interval : intervals) {
        longer.push_back(element);
        longer.back().push_back(interval);
      }
    }
    out.elements = std::move(longer);
  }
  return fields < 2 ? std::nullopt : std::optional(std::move(out));
}

// ---- Sets -------------------------------------------------------------------------------------

struct Part {  // of a filter: what it asks of one family
  const SteeringFilter* filter;
  Family family;
};

struct Set {
  std::vector<Element> elements;  // none of them meets another one, which the kernel may refuse
  std::vector<Part> parts;
};

struct Shape {
  std::string rest, fields;
  std::vector<Set> sets;
};

// False: it would be too large, or some of the elements would overlap.
bool add_to_set(const Part& part, const std::vector<Element>& elements, Set* set) {
  std::vector<bool> covered(set->elements.size());
  std::vector<Element> fresh;
  for (const Element& one : elements) {
    bool within = false;
    for (size_t i = 0; i < set->elements.size() && !within; ++i) {
      const Element& known = set->elements[i];
      if (!meet(one, known)) continue;
      within = contains(known, one);
      if (!within && !contains(one, known)) return false;
      if (!within) covered[i] = true;
    }
    if (!within) fresh.push_back(one);
  }
  if (set->elements.size() + fresh.size() > kMostElements) return false;
  std::vector<Element> all = std::move(fresh);
  for (size_t i = 0; i < set->elements.size(); ++i)
    if (!covered[i]) all.push_back(std::move(set->elements[i]));
  set->elements = std::move(all);
  set->parts.push_back(part);
  return true;
}

class Sorter {
 public:
  void add(const SteeringFilter& filter) {
    for (const Family family : nft_families(filter.match)) {
      const Part part{&filter, family};
      const auto lookup = lookup_of(filter.match, family);
      if (!lookup || !add(part, *lookup)) alone(part);
    }
  }

  std::vector<NftRule> rules() {
    for (const Shape& shape : shapes_) {
      for (const Set& set : shape.sets) {
        if (set.parts.size() <= kFew) {
          for (const Part& part : set.parts) alone(part);
        } else {
          out_.push_back(rule_of(shape, set));
        }
      }
    }
    return std::move(out_);
  }

 private:
  bool add(const Part& part, const Lookup& lookup) {
    const NftWords rest = nft_rules_of(lookup.rest, part.family);
    if (rest.size() != 1) return false;
    const auto [at, is_new] = known_.emplace(rest.front() + lookup.fields, shapes_.size());
    if (is_new) shapes_.push_back({rest.front(), lookup.fields, {}});
    std::vector<Set>& sets = shapes_[at->second].sets;
    for (Set& set : sets)
      if (add_to_set(part, lookup.elements, &set)) return true;
    if (sets.size() == kMostSets) return false;
    sets.emplace_back();
    return add_to_set(part, lookup.elements, &sets.back());
  }

  void alone(const Part& part) {
    for (std::string& rule : nft_rules_of(part.filter->match, part.family))
      out_.push_back({std::move(rule), part.filter->rules});
  }

  static NftRule rule_of(const Shape& shape, const Set& set) {
    NftWords members;
    for (const Element& element : set.elements) {
      std::string& member = members.emplace_back();
      for (const Interval& interval : element)
        member += (member.empty() ? "" : " . ") + interval.text;
    }
    std::ranges::sort(members);
    NftRule out{fmt::format("{}{} {{ {} }} ", shape.rest, shape.fields, fmt::join(members, ", ")),
                {}};
    for (const Part& part : set.parts)
      for (const std::string& name : part.filter->rules)
        if (std::ranges::find(out.names, name) == out.names.end()) out.names.push_back(name);
    return out;
  }

  std::vector<Shape> shapes_;
  std::map<std::string, size_t> known_;
  std::vector<NftRule> out_;
};

}  // namespace

std::vector<NftRule> nft_rules_in_sets(const std::vector<const SteeringFilter*>& filters) {
  Sorter sorter;
  for (const SteeringFilter* filter : filters) sorter.add(*filter);
  return sorter.rules();
}

}  // namespace fettle

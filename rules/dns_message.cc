#include "rules/dns_message.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <optional>

#include "core/bytes.h"
#include "rules/dns_name.h"

namespace fettle {
namespace {

constexpr uint32_t kHeader = 12;
constexpr uint16_t kOpcode = 0x7800;  // of the flags; 0 is QUERY
constexpr uint16_t kInternet = 1;     // class IN; the first bit is mDNS's (RFC 6762)
constexpr uint16_t kClass = 0x7fff;
constexpr size_t kWithoutEdns = 512;

enum Type : uint16_t {
  kA = 1,
  kSig = 24,
  kAaaa = 28,
  kNaptr = 35,
  kOpt = 41,
  kSvcb = 64,
  kHttps = 65,
  kTsig = 250,
};

// Where names stand in a record's data: so many bytes, then so many names, then anything.
struct Names {
  uint16_t type;
  uint8_t before;
  uint8_t count;
};
constexpr Names kNames[] = {
    {2, 0, 1},                  // NS; this and up to MX but MINFO and SOA: RFC 1035
    {3, 0, 1},                  // MD
    {4, 0, 1},                  // MF
    {5, 0, 1},                  // CNAME
    {6, 0, 2},                  // SOA
    {7, 0, 1},                  // MB
    {8, 0, 1},                  // MG
    {9, 0, 1},                  // MR
    {12, 0, 1},                 // PTR
    {14, 0, 2},                 // MINFO
    {15, 2, 1},                 // MX
    {17, 0, 2},                 // RP, RFC 1183
    {18, 2, 1},                 // AFSDB, RFC 1183
    {21, 2, 1},                 // RT, RFC 1183
    {kSig, 18, 1}, {26, 2, 2},  // PX, RFC 2163
    {30, 0, 1},                 // NXT, RFC 2535
    {33, 6, 1},                 // SRV, RFC 2782
    {36, 2, 1},                 // KX, RFC 2230
    {39, 0, 1},                 // DNAME, RFC 6672
    {46, 18, 1},                // RRSIG, RFC 4034
    {47, 0, 1},                 // NSEC, RFC 4034; mDNS compresses it
    {kSvcb, 2, 1}, {kHttps, 2, 1},
};

// One way through a message, each part copied to `out` as it is passed.
class Walk {
 public:
  Walk(std::span<const std::byte> in, const AddressTable& table, std::span<std::byte> out,
       bool rename)
      : in_(in), table_(table), out_(out), reader_(in) {
    if (rename) writer_.emplace(out);
  }

  // False: the message is not to be edited, or with renames(), not without new names.
  bool all() {
    if (in_.size() < kHeader || in_.size() > kLongestDnsMessage) return false;
    if ((load_be16(&in_[2]) & kOpcode) != 0) return false;
    const uint32_t questions = load_be16(&in_[4]);
    uint32_t records = load_be16(&in_[6]);
    records += load_be16(&in_[8]) + uint32_t{load_be16(&in_[10])};
    if (!copy(kHeader)) return false;
    for (uint32_t i = 0; i < questions; ++i) {
      if (!name(size()) || !copy(4)) return false;
    }
    for (uint32_t i = 0; i < records; ++i) {
      if (!record()) return false;
    }
    return copy(size() - at_);
  }

  bool renames() const { return renames_; }
  bool changed() const { return changed_; }
  bool is_signed() const { return signed_; }
  size_t written() const { return written_; }
  bool may_have_grown(DnsTransport transport) const {
    return transport == DnsTransport::kStream || written_ <= in_.size() ||
           written_ <= kWithoutEdns || edns_;
  }

 private:
  uint32_t size() const { return static_cast<uint32_t>(in_.size()); }

  bool copy(uint32_t count) {
    if (count > size() - at_ || count > out_.size() - written_) return false;
    std::memcpy(out_.data() + written_, in_.data() + at_, count);
    at_ += count;
    written_ += count;
    return true;
  }

  // It has to end at or before `end`.
  bool name(uint32_t end) {
    DnsName mine;
    const auto behind = reader_.read(at_, &mine);
    if (!behind || *behind > end) return false;
    const auto address = mine.reverse_address();
    const auto translated = address ? table_.find(*address) : std::nullopt;
    const bool changes = translated && *translated != *address;
    renames_ |= changes;
    if (!writer_) return !changes && copy(*behind - at_);
    if (changes) mine.set_reverse_address(*translated);
    const auto written = writer_->write(written_, mine, mine.compressed());
    if (!written) return false;
    written_ = *written;
    at_ = *behind;
    return true;
  }

  bool address(Family family) {
    const Address mine = Address::from_bytes(family, &in_[at_]);
    const auto translated = table_.find(mine);
    const uint32_t at = written_;
    if (!copy(mine.size())) return false;
    if (!translated || *translated == mine) return true;
    std::ranges::copy(translated->span(), out_.begin() + at);
    changed_ = true;
    return true;
  }

  bool record() {
    constexpr uint32_t kFixed = 10;  // type, class, time to live, length of the data
    if (!name(size()) || size() - at_ < kFixed) return false;
    const uint16_t type = load_be16(&in_[at_]);
    const bool internet = (load_be16(&in_[at_ + 2]) & kClass) == kInternet;
    const uint32_t length = load_be16(&in_[at_ + 8]);
    if (!copy(kFixed) || length > size() - at_) return false;
    const uint32_t begin = written_;
    const uint32_t end = at_ + length;
    if (!data(type, internet, end) || !copy(end - at_)) return false;
    store_be16(out_.data() + begin - 2, static_cast<uint16_t>(written_ - begin));
    return true;
  }

  // Leaves at_ at or before `end`.
  bool data(uint16_t type, bool internet, uint32_t end) {
    const uint32_t length = end - at_;
    edns_ |= type == kOpt;
    signed_ |= type == kTsig || (type == kSig && length >= 2 && load_be16(&in_[at_]) == 0);
    if (type == kA || type == kAaaa) {
      const Family family = type == kA ? Family::kIpv4 : Family::kIpv6;
      if (!internet) return true;
      return length == (type == kA ? 4 : 16) && address(family);
    }
    if (type == kNaptr) return naptr(end);
    const auto* const names = std::ranges::find(kNames, type, &Names::type);
    if (names == std::end(kNames)) return true;
    if (!copy_before(names->before, end)) return false;
    for (uint32_t i = 0; i < names->count; ++i) {
      if (!name(end)) return false;
    }
    return !internet || (type != kSvcb && type != kHttps) || hints(end);
  }

  bool copy_before(uint32_t count, uint32_t end) { return count <= end - at_ && copy(count); }

  // RFC 3403: two numbers, three character strings, a name.
  bool naptr(uint32_t end) {
    if (!copy_before(4, end)) return false;
    for (int i = 0; i < 3; ++i) {
      if (at_ >= end || !copy_before(1u + load_u8(&in_[at_]), end)) return false;
    }
    return name(end);
  }

  // RFC 9460 2.2 and 7.3: parameters, each a key, a length and a value.
  bool hints(uint32_t end) {
    constexpr uint16_t kIpv4Hint = 4;
    constexpr uint16_t kIpv6Hint = 6;
    while (at_ < end) {
      if (end - at_ < 4) return false;
      const uint16_t key = load_be16(&in_[at_]);
      const uint32_t length = load_be16(&in_[at_ + 2]);
      if (!copy(4) || length > end - at_) return false;
      const uint32_t behind = at_ + length;
      const Family family = key == kIpv4Hint ? Family::kIpv4 : Family::kIpv6;
      const uint32_t size = key == kIpv4Hint ? 4 : 16;
      const bool hint = (key == kIpv4Hint || key == kIpv6Hint) && length % size == 0;
      while (hint && at_ < behind) {
        if (!address(family)) return false;
      }
      if (!copy(behind - at_)) return false;
    }
    return true;
  }

  std::span<const std::byte> in_;
  const AddressTable& table_;
  std::span<std::byte> out_;
  DnsNameReader reader_;
  std::optional<DnsNameWriter> writer_;  // none: names stay as they are
  uint32_t at_ = 0;                      // of in_
  uint32_t written_ = 0;                 // of out_
  bool renames_ = false;                 // some name is to be another
  bool changed_ = false;                 // some address is another
  bool signed_ = false;
  bool edns_ = false;
};

}  // namespace

DnsTranslation translate_dns(std::span<const std::byte> message, const AddressTable& table,
                             std::span<std::byte> out, DnsTransport transport) noexcept {
  using Outcome = DnsTranslation::Outcome;
  {
    Walk walk(message, table, out, false);
    if (walk.all()) {
      if (!walk.changed()) return {.outcome = Outcome::kUnchanged, .size = 0};
      if (walk.is_signed()) return {};
      return {.outcome = Outcome::kChanged, .size = walk.written()};
    }
    if (!walk.renames()) return {};
  }
  Walk walk(message, table, out, true);
  if (!walk.all() || walk.is_signed() || !walk.may_have_grown(transport)) return {};
  return {.outcome = Outcome::kChanged, .size = walk.written()};
}

}  // namespace fettle

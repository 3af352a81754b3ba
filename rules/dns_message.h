// DNS messages whose addresses are translated: a pure function over bytes, for datagrams now and
// for what streams carry behind its length.
//
// Sources: RFC 1035, 3596 (AAAA, ip6.arpa), 6891 (EDNS), 8945 (TSIG), 9460 (hints of SVCB and
// HTTPS), and what defines the types of record whose data has names (see dns_message.cc).
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "rules/address_table.h"

namespace fettle {

constexpr size_t kLongestDnsMessage = 65535;

enum class DnsTransport : uint8_t { kDatagram, kStream };

struct DnsTranslation {
  enum class Outcome : uint8_t {
    kUnchanged,  // the table has none of its addresses
    kChanged,
    // Not a query or its answer, as far as it can be read; signed as a whole (TSIG, SIG(0)); no
    // room; or, in a datagram, longer than 512 bytes and than it came, where no EDNS says that this
    // is allowed.
    kRefused,
  };
  Outcome outcome = Outcome::kRefused;
  size_t size = 0;  // kChanged: of what was written to `out`
};

// Translates what the table has: addresses in A and AAAA records and in the hints of SVCB and HTTPS
// records, of class IN, in all sections; and host names under in-addr.arpa and ip6.arpa, wherever a
// name stands, in questions, as owners and in the data of the types that are known to have them.
//
// Where no name changes, only the addresses' bytes do. Otherwise the message is written anew:
// names that came with a compression pointer are compressed as well as can be, the others stay
// whole, and the lengths of records follow. All else is kept as it came: order, case, flags, EDNS,
// unknown records, bytes behind the last record. Signatures (RRSIG) of what changes are wrong then.
//
// out.size() <= kLongestDnsMessage; it must not overlap the message. Its content is of use only
// with kChanged. Allocates nothing; the work is bounded, whatever the bytes are.
DnsTranslation translate_dns(std::span<const std::byte> message, const AddressTable& table,
                             std::span<std::byte> out,
                             DnsTransport transport = DnsTransport::kDatagram) noexcept;

}  // namespace fettle

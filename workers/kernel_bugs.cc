#include "workers/kernel_bugs.h"

#include <algorithm>
#include <charconv>

namespace fettle {
namespace {

// Each series of stable kernels by itself; a series between two that are named had no fix.
// CVE-2022-36946: https://github.com/nluedtke/linux_kernel_cves, data/stream_fixes.json.
constexpr KernelRange kTruncation[] = {
    {{2, 6, 14}, {4, 9, 326}}, {{4, 10, 0}, {4, 14, 291}}, {{4, 15, 0}, {4, 19, 255}},
    {{4, 20, 0}, {5, 4, 209}}, {{5, 5, 0}, {5, 10, 135}},  {{5, 11, 0}, {5, 15, 59}},
    {{5, 16, 0}, {5, 18, 16}},
};
// The others: https://github.com/CVEProject/cvelistV5, the CVE's "affected".
constexpr KernelRange kSocketReference[] = {
    {{2, 6, 29}, {4, 9, 305}}, {{4, 10, 0}, {4, 14, 270}}, {{4, 15, 0}, {4, 19, 233}},
    {{4, 20, 0}, {5, 4, 183}}, {{5, 5, 0}, {5, 10, 104}},  {{5, 11, 0}, {5, 15, 27}},
    {{5, 16, 0}, {5, 16, 13}},
};
constexpr KernelRange kUnlockedFlush[] = {
    {{2, 6, 25}, {4, 19, 316}}, {{4, 20, 0}, {5, 4, 278}}, {{5, 5, 0}, {5, 10, 219}},
    {{5, 11, 0}, {5, 15, 161}}, {{5, 16, 0}, {6, 1, 93}},  {{6, 2, 0}, {6, 6, 33}},
    {{6, 7, 0}, {6, 9, 4}},
};
constexpr KernelRange kSharedHash[] = {
    {{6, 12, 75}, {6, 12, 83}}, {{6, 18, 14}, {6, 18, 24}}, {{6, 19, 4}, {6, 19, 14}}};
constexpr KernelRange kSegmentsOfUnconfirmed[] = {
    {{5, 15, 166}, {5, 16, 0}}, {{6, 1, 107}, {6, 2, 0}},  {{6, 6, 48}, {6, 7, 0}},
    {{6, 10, 7}, {6, 12, 75}},  {{6, 13, 0}, {6, 18, 14}}, {{6, 19, 0}, {6, 19, 4}},
};
constexpr KernelRange kTemplateOfCt[] = {
    {{3, 4, 0}, {5, 10, 253}}, {{5, 11, 0}, {5, 15, 203}}, {{5, 16, 0}, {6, 1, 167}},
    {{6, 2, 0}, {6, 6, 130}},  {{6, 7, 0}, {6, 12, 78}},   {{6, 13, 0}, {6, 18, 20}},
    {{6, 19, 0}, {6, 19, 10}},
};
// https://github.com/torvalds/linux/commit/8af79d3edb5f is in 6.12; which stable kernels took it
// over is not known here.
constexpr KernelRange kClash[] = {{{4, 18, 0}, {6, 12, 0}}};

// Measured with 6.1.192 (Debian's), where it is so, and 6.18.44, where it is not; those between are
// not known. nfqnl_mangle() leaves CHECKSUM_NONE. Where the device segments UDP, the super-packet
// goes on whole, and its checksum, the pseudo-header's sum, is taken for a whole one; where the
// device does checksums alone, nobody adds the sum of the segments' bytes.
constexpr KernelRange kEditedUdpSegments[] = {{{6, 1, 0}, {6, 2, 0}}};

constexpr KernelBug kBugs[] = {
    {"a verdict whose payload ends before the transport header panics the kernel",
     "fettle sends no such payload; another program on a queue may.",
     "CVE-2022-36946, 99a63d36cb3e", BugNeeds::kNothing, kTruncation},
    {"a queued packet may hold a socket that is gone (use after free)", "",
     "CVE-2022-48911, c3873070247d", BugNeeds::kNothing, kSocketReference},
    {"a queue that is closed drops its packets without the lock that this needs", "",
     "CVE-2024-36286, dc21c6cc3d69", BugNeeds::kNothing, kUnlockedFlush},
    {"verdicts of several queues meet in one hash table and may read freed memory",
     "One queue alone is safe.", "CVE-2026-43084, 936206e3f6ff", BugNeeds::kNothing, kSharedHash},
    {"new UDP flows that come as super-packets are dropped whole with --no-gso",
     "Without --no-gso it does not happen.", "CVE-2026-45859, 207b3ebacb61", BugNeeds::kNoGso,
     kSegmentsOfUnconfirmed},
    {"UDP super-packets (UDP_SEGMENT) that the rules change arrive with a wrong checksum and are "
     "lost",
     "Use --no-gso, or `ethtool -K DEVICE tx off tx-udp-segmentation off` where they leave.",
     "net/ipv4/udp_offload.c: __udp_gso_segment", BugNeeds::kEditedGso, kEditedUdpSegments},
    {"packets in a queue use a helper, timeout or zone whose rule is deleted (use after free)",
     "Delete no such rule while packets are queued.",
     "CVE-2026-23391, f62a218a946b; CVE-2026-43060, 36eae0956f65", BugNeeds::kTemplates,
     kTemplateOfCt},
    {"of the first two packets of a UDP flow (DNS: A and AAAA) that are queued one may be lost to "
     "NAT",
     "Queue such flows in PREROUTING behind NAT (nft: priority -95).",
     "https://bugzilla.netfilter.org/show_bug.cgi?id=1766, 8af79d3edb5f", BugNeeds::kNat, kClash},
};

}  // namespace

std::optional<KernelVersion> parse_version(std::string_view release) {
  KernelVersion out;
  uint32_t* const parts[] = {&out.major, &out.minor, &out.patch};
  for (size_t i = 0; i < 3; ++i) {
    const auto [end, error] =
        std::from_chars(release.data(), release.data() + release.size(), *parts[i]);
    if (error != std::errc{}) return i < 2 ? std::nullopt : std::optional(out);
    release.remove_prefix(static_cast<size_t>(end - release.data()));
    if (!release.starts_with('.')) return i < 1 ? std::nullopt : std::optional(out);
    release.remove_prefix(1);
  }
  return out;
}

bool KernelBug::concerns(const KernelVersion& version) const {
  return std::ranges::any_of(ranges, [&](const KernelRange& range) {
    return range.from <= version && version < range.fixed;
  });
}

std::span<const KernelBug> kernel_bugs() { return kBugs; }

}  // namespace fettle

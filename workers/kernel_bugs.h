// Bugs of Linux's NFQUEUE that its users meet, by version, each with its source. Distributions
// repair them in kernels that keep an older version's number.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

namespace fettle {

struct KernelVersion {
  uint32_t major = 0, minor = 0, patch = 0;

  auto operator<=>(const KernelVersion&) const = default;
};
// "6.1.0-18-amd64" and the like. Nothing where it begins with no two numbers.
std::optional<KernelVersion> parse_version(std::string_view release);

struct KernelRange {
  KernelVersion from;   // has the bug
  KernelVersion fixed;  // has it no more
};

enum class BugNeeds : uint8_t {
  kNothing,
  kNat,        // rules that translate addresses
  kNoGso,      // super-packets cut by the kernel: --no-gso
  kEditedGso,  // super-packets that the rules change: no --no-gso
  kTemplates,  // rules that attach helpers, timeouts or zones (-j CT, nft ct ... set)
};

struct KernelBug {
  std::string_view what;   // how it shows: a clause
  std::string_view avoid;  // a sentence, or "": what helps beside another kernel
  std::string_view source;
  BugNeeds needs = BugNeeds::kNothing;
  std::span<const KernelRange> ranges;

  bool concerns(const KernelVersion& version) const;
};

std::span<const KernelBug> kernel_bugs();

}  // namespace fettle

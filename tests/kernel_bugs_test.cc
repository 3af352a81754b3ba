#include "workers/kernel_bugs.h"

#include <gtest/gtest.h>

namespace fettle {
namespace {

TEST(KernelBugsTest, Versions) {
  EXPECT_EQ(parse_version("6.1.0-18-amd64"), (KernelVersion{6, 1, 0}));
  EXPECT_EQ(parse_version("6.18.44-fc-v669"), (KernelVersion{6, 18, 44}));
  EXPECT_EQ(parse_version("7.0-rc1"), (KernelVersion{7, 0, 0}));
  EXPECT_FALSE(parse_version("linux"));
  EXPECT_FALSE(parse_version("6"));
  EXPECT_FALSE(parse_version(""));
}

bool concerned(std::string_view source, const char* release) {
  for (const KernelBug& bug : kernel_bugs()) {
    if (bug.source.find(source) != std::string_view::npos) {
      return bug.concerns(*parse_version(release));
    }
  }
  ADD_FAILURE() << source << " is not in the table";
  return false;
}

TEST(KernelBugsTest, EachSeriesOfStableKernelsByItself) {
  EXPECT_TRUE(concerned("CVE-2022-36946", "5.10.134"));
  EXPECT_FALSE(concerned("CVE-2022-36946", "5.10.135"));
  EXPECT_TRUE(concerned("CVE-2022-36946", "5.15.58"));
  EXPECT_FALSE(concerned("CVE-2022-36946", "5.19.0"));
  EXPECT_TRUE(concerned("CVE-2026-43084", "6.18.14"));
  EXPECT_FALSE(concerned("CVE-2026-43084", "6.18.13"));
  EXPECT_FALSE(concerned("CVE-2026-43084", "6.18.24"));
  EXPECT_FALSE(concerned("CVE-2026-43084", "6.17.9"));
  EXPECT_TRUE(concerned("CVE-2026-45859", "6.11.0"));
  EXPECT_FALSE(concerned("CVE-2026-45859", "6.12.75"));
  EXPECT_TRUE(concerned("CVE-2026-45859", "6.17.0"));
  EXPECT_FALSE(concerned("CVE-2026-45859", "6.10.6"));
  EXPECT_TRUE(concerned("__udp_gso_segment", "6.1.0-57-cloud-amd64"));
  EXPECT_FALSE(concerned("__udp_gso_segment", "6.18.44"));
}

TEST(KernelBugsTest, EachRowSaysWhatAndWhence) {
  for (const KernelBug& bug : kernel_bugs()) {
    EXPECT_FALSE(bug.what.empty());
    EXPECT_FALSE(bug.source.empty());
    ASSERT_FALSE(bug.ranges.empty());
    for (const KernelRange& range : bug.ranges) EXPECT_LT(range.from, range.fixed);
  }
}

}  // namespace
}  // namespace fettle

#include "workers/topology.h"

#include <sched.h>

#include <gtest/gtest.h>

#include "workers/queue_owner.h"

namespace fettle {
namespace {

TEST(TopologyTest, UsableCpusAreThoseOfTheAffinityMask) {
  cpu_set_t mask;
  ASSERT_EQ(sched_getaffinity(0, sizeof mask, &mask), 0);
  const auto cpus = usable_cpus();
  ASSERT_TRUE(cpus);
  EXPECT_EQ(cpus->size(), static_cast<size_t>(CPU_COUNT(&mask)));
  for (const int cpu : *cpus) EXPECT_TRUE(CPU_ISSET(static_cast<size_t>(cpu), &mask));
}

TEST(TopologyTest, ListsAreReadInTheirOrder) {
  const std::vector<int> usable{0, 1, 2, 3, 8};
  EXPECT_EQ(parse_cpu_list("0", usable).value(), (std::vector<int>{0}));
  EXPECT_EQ(parse_cpu_list("3,0-2", usable).value(), (std::vector<int>{3, 0, 1, 2}));
  EXPECT_EQ(parse_cpu_list("8,8", usable).value(), (std::vector<int>{8, 8}));
}

TEST(TopologyTest, ABadListIsQuoted) {
  const std::vector<int> usable{0, 1};
  for (const char* text : {"", ",", "0,", "a", "1-", "-1", "1-0", "0x1", "0 1"}) {
    const auto parsed = parse_cpu_list(text, usable);
    ASSERT_FALSE(parsed) << text;
    EXPECT_EQ(parsed.error().code, ErrorCode::kUsage);
    EXPECT_NE(parsed.error().message.find("expected a CPU number"), std::string::npos) << text;
  }
  EXPECT_EQ(parse_cpu_list("0-2", usable).error().message,
            "--cpus 0-2: no CPU 2 here; usable are 0,1");
}

TEST(QueueOwnerTest, FindsANetfilterSocketByItsPort) {
  constexpr std::string_view kTable =
      "sk               Eth Pid        Groups   Rmem     Wmem     Dump  Locks    Drops    Inode\n"
      "0000000000000000 0   4242       00000000 0        0        0     2        9        11\n"
      "0000000000000000 12  4242       00000000 0        0        0     2        902      1234\n"
      "0000000000000000 12  4294963200 00000000 0        0        0     2        0        99\n";
  const auto found = find_netlink_socket(kTable, 4242);
  ASSERT_TRUE(found);
  EXPECT_EQ(found->drops, 902u);
  EXPECT_EQ(found->inode, 1234u);
  EXPECT_EQ(find_netlink_socket(kTable, 4294963200)->inode, 99u);
  EXPECT_FALSE(find_netlink_socket(kTable, 1));
  EXPECT_FALSE(find_netlink_socket("", 4242));
}

}  // namespace
}  // namespace fettle

#include "workers/doctor_facts.h"

#include <gtest/gtest.h>

namespace fettle {
namespace {

using Cpus = std::vector<int>;

TEST(DoctorFactsTest, CpuLists) {
  EXPECT_EQ(read_cpu_list("0-2,8"), (Cpus{0, 1, 2, 8}));
  EXPECT_EQ(read_cpu_list("1"), Cpus{1});
  EXPECT_TRUE(read_cpu_list("").empty());
  EXPECT_EQ(read_cpu_list("x,3-1,2"), Cpus{2});
  EXPECT_EQ(read_cpu_list("8190-4294967295"), Cpus{8190});  // no number that fits
  EXPECT_EQ(read_cpu_list("0-999999").size(), 8192u);
}

TEST(DoctorFactsTest, CpuMasks) {
  EXPECT_EQ(read_cpu_mask("3"), (Cpus{0, 1}));
  EXPECT_EQ(read_cpu_mask("00000002,80000001"), (Cpus{0, 31, 33}));
  EXPECT_TRUE(read_cpu_mask("0").empty());
}

TEST(DoctorFactsTest, Swap) {
  EXPECT_EQ(read_swap("Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n"), 0u);
  EXPECT_EQ(read_swap("Filename Type Size Used Priority\n"
                      "/dev/vda2                               partition\t2097148\t\t12\t\t-2\n"
                      "/swapfile                               file\t\t1000\t\t0\t\t-3\n"),
            2098148u);
}

TEST(DoctorFactsTest, Softnet) {
  const SoftnetFacts facts = read_softnet(
      "0010a155 00000002 00000003 00000000 00000000\n00000010 00000000 0000000a 00000000\n");
  EXPECT_EQ(facts.processed, 0x10a165u);
  EXPECT_EQ(facts.dropped, 2u);
  EXPECT_EQ(facts.squeezed, 13u);
  EXPECT_EQ(read_softnet("").processed, 0u);
  EXPECT_EQ(read_softnet("no number\n").dropped, 0u);
}

TEST(DoctorFactsTest, KernelOptions) {
  constexpr std::string_view kConfig =
      "# CONFIG_A is not set\nCONFIG_NOT_CONFIG_B=y\nCONFIG_B=m\nCONFIG_BB=y\n";
  EXPECT_EQ(config_value(kConfig, "CONFIG_A"), "");
  EXPECT_EQ(config_value(kConfig, "CONFIG_B"), "m");
  EXPECT_EQ(config_value(kConfig, "CONFIG_C"), "");
}

// Whoever runs it: what this machine has is found without harm.
TEST(DoctorFactsTest, ThisMachine) {
  const HostFacts facts = gather_facts(0, 65535);
  EXPECT_FALSE(facts.release.empty());
  EXPECT_GT(facts.receive_buffer, 0u);
  EXPECT_TRUE(facts.forwards4.has_value());
}

// Under systemd with a descriptor store process 1 holds the socket, too.
TEST(DoctorFactsTest, AQueueOfFettlesIsNobodyElses) {
  const QueueFacts kept =
      queue_facts(0, "systemd (process 1), fettle (process 185), fettle-q0 (process 189)");
  EXPECT_TRUE(kept.fettle);
  EXPECT_EQ(kept.processes, (std::vector{185, 189}));
  const QueueFacts others = queue_facts(1, "systemd (process 1), suricata (process 12)");
  EXPECT_FALSE(others.fettle);
  EXPECT_EQ(others.processes, std::vector{12});
  EXPECT_FALSE(queue_facts(2, "notfettle (process 7)").fettle);
}

}  // namespace
}  // namespace fettle

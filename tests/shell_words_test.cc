#include "workers/shell_words.h"

#include <gtest/gtest.h>

namespace fettle {
namespace {

using Words = std::vector<std::string>;

TEST(ShellWordsTest, SplitsAsIptablesSaveWrites) {
  EXPECT_EQ(split_words("-A FORWARD  -p udp"), (Words{"-A", "FORWARD", "-p", "udp"}));
  EXPECT_EQ(split_words(R"(--comment "a \"b\" c\\" -j X)"),
            (Words{"--comment", "a \"b\" c\\", "-j", "X"}));
  EXPECT_EQ(split_words(R"(--comment "" -j)"), (Words{"--comment", "", "-j"}));
  EXPECT_EQ(split_words(R"("open)"), Words{"open"});
  EXPECT_TRUE(split_words("  ").empty());
}

TEST(ShellWordsTest, NothingOfAWordIsTheShells) {
  EXPECT_EQ(shell_word("--queue-balance"), "--queue-balance");
  EXPECT_EQ(shell_word("0:3"), "0:3");
  EXPECT_EQ(shell_word("$(reboot)"), "'$(reboot)'");
  EXPECT_EQ(shell_word("it's"), "'it'\\''s'");
  EXPECT_EQ(shell_word("!"), "'!'");
  EXPECT_EQ(shell_word(""), "''");
  EXPECT_EQ(shell_words({"a b", "c"}), "'a b' c");
}

}  // namespace
}  // namespace fettle

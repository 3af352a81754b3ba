// Columns line up, and those that say nothing are left out.
#include "workers/text_table.h"

#include <gtest/gtest.h>

namespace fettle {
namespace {

using Column = TextTable::Column;

TEST(TextTable, NumbersStandRightAndTextLeft) {
  TextTable table;
  table.add_column("queue", Column::kNumber);
  table.add_column("state", Column::kText);
  table.add_column("packets", Column::kNumber);
  table.add_row({"0", "running", "12345678"});
  table.add_row({"65535", "\u00e4", "1"});
  EXPECT_EQ(table.text(),
            "queue  state     packets\n"
            "    0  running  12345678\n"
            "65535  \u00e4               1\n");
}

TEST(TextTable, WhatIsNothingInAllRowsIsLeftOut) {
  TextTable table;
  table.add_column("queue", Column::kNumber);
  table.add_column("a", Column::kIfAny);
  table.add_column("b", Column::kIfAny);
  table.add_row({"0", "0", "0"});
  table.add_row({"1", "0", "7"});
  EXPECT_EQ(table.text(),
            "queue  b\n"
            "    0  0\n"
            "    1  7\n");
}

TEST(TextTable, NoSpacesEndALine) {
  TextTable table;
  table.add_column("a", Column::kNumber);
  table.add_column("b", Column::kText);
  table.add_row({"1", "long text"});
  table.add_row({"2", ""});
  EXPECT_EQ(table.text(), "a  b\n1  long text\n2\n");
}

}  // namespace
}  // namespace fettle

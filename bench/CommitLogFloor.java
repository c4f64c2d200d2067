/* SPDX-License-Identifier: Apache-2.0 */
/* Reads a commit log segment by Cassandra's own reader; nothing is done with the mutations.
 * Arguments: segment, CQL text (CREATE TYPE and CREATE TABLE with their ids, a statement on each line), keyspace.
 * For each line on standard input the segment is read once; a line of JSON says what that took. */
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.lang.management.ManagementFactory;
import java.nio.file.Files;
import java.nio.file.Path;
import org.apache.cassandra.config.DatabaseDescriptor;
import org.apache.cassandra.cql3.statements.schema.CreateTableStatement;
import org.apache.cassandra.db.Mutation;
import org.apache.cassandra.db.commitlog.CommitLogDescriptor;
import org.apache.cassandra.db.commitlog.CommitLogReadHandler;
import org.apache.cassandra.db.commitlog.CommitLogReader;
import org.apache.cassandra.io.util.File;
import org.apache.cassandra.schema.KeyspaceMetadata;
import org.apache.cassandra.schema.KeyspaceParams;
import org.apache.cassandra.schema.Schema;
import org.apache.cassandra.schema.SchemaTransformations;
import org.apache.cassandra.schema.Tables;

public class CommitLogFloor implements CommitLogReadHandler {
  private final String keyspace;
  private long mutations;

  CommitLogFloor(String keyspace) {
    this.keyspace = keyspace;
  }

  public boolean shouldSkipSegmentOnError(CommitLogReadException e) {
    throw new IllegalStateException(e);
  }

  public void handleUnrecoverableError(CommitLogReadException e) {
    throw new IllegalStateException(e);
  }

  public void handleMutation(Mutation m, int size, int at, CommitLogDescriptor d) {
    if (m.getKeyspaceName().equals(keyspace))
      mutations++;
  }

  static void loadSchema(Path cql, String keyspace) throws Exception {
    DatabaseDescriptor.toolInitialization();
    Schema.instance.transform(SchemaTransformations.addKeyspace(
        KeyspaceMetadata.create(keyspace, KeyspaceParams.simple(1), Tables.none()), true));
    for (String statement : Files.readString(cql).split(";\n"))
      if (statement.startsWith("CREATE TABLE"))
        Schema.instance.transform(SchemaTransformations.addTable(
            CreateTableStatement.parse(statement, keyspace).build(), true));
  }

  public static void main(String[] a) throws Exception {
    loadSchema(Path.of(a[1]), a[2]);
    BufferedReader in = new BufferedReader(new InputStreamReader(System.in));
    var threads = ManagementFactory.getThreadMXBean();
    while (in.readLine() != null) {
      CommitLogFloor handler = new CommitLogFloor(a[2]);
      long wall = System.nanoTime(), cpu = threads.getCurrentThreadCpuTime();
      new CommitLogReader().readCommitLogSegment(handler, new File(a[0]), false);
      wall = System.nanoTime() - wall;
      cpu = threads.getCurrentThreadCpuTime() - cpu;
      System.out.printf("{\"mutations\": %d, \"seconds\": %.6f, \"cpu\": %.6f}%n", handler.mutations,
                        wall / 1e9, cpu / 1e9);
    }
    System.exit(0);
  }
}

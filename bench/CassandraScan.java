/* SPDX-License-Identifier: Apache-2.0 */
/* Reads a table of Cassandra by the Java driver: ranges of the token ring, several at a time, page by page, every
 * value decoded. Arguments: port, table, ranges, concurrent, page; prints JSON. */
import com.datastax.oss.driver.api.core.CqlSession;
import com.datastax.oss.driver.api.core.config.DefaultDriverOption;
import com.datastax.oss.driver.api.core.config.DriverConfigLoader;
import com.datastax.oss.driver.api.core.cql.AsyncResultSet;
import com.datastax.oss.driver.api.core.cql.PreparedStatement;
import com.datastax.oss.driver.api.core.cql.Row;
import java.math.BigInteger;
import java.net.InetSocketAddress;
import java.time.Duration;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.atomic.AtomicLong;
import java.util.concurrent.atomic.AtomicReference;

public class CassandraScan {
  private final CqlSession session;
  private final PreparedStatement statement;
  private final int page;
  private final ConcurrentLinkedQueue<long[]> waiting = new ConcurrentLinkedQueue<>();
  private final CountDownLatch running;
  private final AtomicLong rows = new AtomicLong();
  private final AtomicReference<Throwable> error = new AtomicReference<>();
  private volatile Object last; /* what was decoded is used */

  CassandraScan(CqlSession session, String table, int ranges, int concurrent, int page) {
    this.session = session;
    this.page = page;
    statement = session.prepare("SELECT * FROM " + table + " WHERE token(p) > ? AND token(p) <= ?");
    BigInteger size = BigInteger.ONE.shiftLeft(64), low = BigInteger.valueOf(Long.MIN_VALUE);
    for (int i = 0; i < ranges; i++) {
      BigInteger from = low.add(size.multiply(BigInteger.valueOf(i)).divide(BigInteger.valueOf(ranges)));
      BigInteger to = low.add(size.multiply(BigInteger.valueOf(i + 1)).divide(BigInteger.valueOf(ranges)));
      waiting.add(new long[] {from.longValue(), i + 1 == ranges ? Long.MAX_VALUE : to.longValue()});
    }
    running = new CountDownLatch(concurrent);
    for (int i = 0; i < concurrent; i++)
      nextRange();
  }

  void nextRange() {
    long[] range = waiting.poll();
    if (range == null)
      running.countDown();
    else
      session.executeAsync(statement.bind(range[0], range[1]).setPageSize(page)).whenComplete(this::onPage);
  }

  void onPage(AsyncResultSet set, Throwable failure) {
    if (failure != null) {
      error.set(failure);
      running.countDown();
      return;
    }
    int n = 0, columns = set.getColumnDefinitions().size();
    for (Row row : set.currentPage()) {
      for (int i = 0; i < columns; i++)
        last = row.getObject(i);
      n++;
    }
    rows.addAndGet(n);
    if (set.hasMorePages())
      set.fetchNextPage().whenComplete(this::onPage);
    else
      nextRange();
  }

  public static void main(String[] a) throws Exception {
    DriverConfigLoader config = DriverConfigLoader.programmaticBuilder()
        .withDuration(DefaultDriverOption.REQUEST_TIMEOUT, Duration.ofSeconds(120)).build();
    try (CqlSession session = CqlSession.builder().withConfigLoader(config).withLocalDatacenter("datacenter1")
             .addContactPoint(new InetSocketAddress("127.0.0.1", Integer.parseInt(a[0]))).build()) {
      long begin = System.nanoTime();
      CassandraScan scan = new CassandraScan(session, a[1], Integer.parseInt(a[2]), Integer.parseInt(a[3]),
                                             Integer.parseInt(a[4]));
      scan.running.await();
      double seconds = (System.nanoTime() - begin) / 1e9;
      if (scan.error.get() != null)
        throw new IllegalStateException(scan.error.get());
      double cpu = ProcessHandle.current().info().totalCpuDuration().orElse(Duration.ZERO).toNanos() / 1e9;
      System.out.printf("{\"rows\": %d, \"seconds\": %.3f, \"cpu\": %.3f}%n", scan.rows.get(), seconds, cpu);
    }
  }
}

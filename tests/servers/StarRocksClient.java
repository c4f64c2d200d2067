/* SPDX-License-Identifier: Apache-2.0 */
/* Drives a StarRocks server (or its stand-in) with StarRocks' own Java client.
 * Arguments: FE URL, database, table, mode (plain | commit | abort), format (json | csv), lz4 or -, rows of JSON or CSV. */
import com.starrocks.data.load.stream.StreamLoadDataFormat;
import com.starrocks.data.load.stream.StreamLoadSnapshot;
import com.starrocks.data.load.stream.properties.StreamLoadProperties;
import com.starrocks.data.load.stream.properties.StreamLoadTableProperties;
import com.starrocks.data.load.stream.v2.StreamLoadManagerV2;
import java.util.Arrays;

public class StarRocksClient {
  public static void main(String[] a) throws Exception {
    boolean json = a[4].equals("json"), plain = a[3].equals("plain");
    StreamLoadTableProperties.Builder t = StreamLoadTableProperties.builder()
        .database(a[1]).table(a[2]).chunkLimit(1 << 24)
        .streamLoadDataFormat(json ? StreamLoadDataFormat.JSON
                                   : new StreamLoadDataFormat.CSVFormat("\n"));
    if (a[5].equals("lz4"))
      t.addProperty("compression", "lz4_frame");
    StreamLoadProperties.Builder p = StreamLoadProperties.builder()
        .loadUrls(a[0]).username("root").password("secret").version("3.3.5")
        .labelPrefix("client").cacheMaxBytes(1 << 26).expectDelayTime(60000).ioThreadCount(1)
        .connectTimeout(5000).waitForContinueTimeoutMs(5000).maxRetries(3).retryIntervalInMs(200)
        .defaultTableProperties(t.build());
    p.addHeader("format", json ? "json" : "csv");
    if (json)
      p.addHeader("strip_outer_array", "true");
    if (!plain)
      p.enableTransaction();
    StreamLoadManagerV2 m = new StreamLoadManagerV2(p.build(), plain);
    m.init();
    try {
      m.write(null, a[1], a[2], Arrays.copyOfRange(a, 6, a.length));
      m.flush();
      boolean ok = true;
      if (!plain) {
        StreamLoadSnapshot s = m.snapshot();
        ok = a[3].equals("abort") ? m.abort(s) : m.prepare(s) && m.commit(s);
      }
      System.out.println(ok ? "ok" : "refused");
    } catch (Throwable e) {
      System.out.println("failed: " + e);
    } finally {
      m.close();
    }
    System.exit(0);
  }
}

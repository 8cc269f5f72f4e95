-- Adds the fills after $1 and up to $2 of referred addresses, from the height of their referral on, to what is stored
-- of their affiliates, and counts referrals anew (compliance specification, section 7). Only rows of which something
-- changes are written. bad: a sum that is no number, which the caller must not commit.
WITH referral AS MATERIALIZED (
    SELECT "affiliateAddress" AS address, count(*)::integer AS users, min("referredAtBlock") AS first_block
      FROM affiliate_referred_users
     GROUP BY "affiliateAddress"
), traded AS MATERIALIZED (
    SELECT r."affiliateAddress" AS address,
           sum(f."affiliateRevShare") AS earnings,
           count(*) FILTER (WHERE f.liquidity = 'MAKER')::integer AS maker_trades,
           count(*) FILTER (WHERE f.liquidity = 'TAKER')::integer AS taker_trades,
           coalesce(sum(f.fee::numeric) FILTER (WHERE f.liquidity = 'MAKER' AND f.fee::numeric > 0), 0) AS maker_fees,
           coalesce(sum(f.fee::numeric) FILTER (WHERE f.liquidity = 'TAKER' AND f.type = 'LIMIT'), 0) AS taker_fees,
           coalesce(sum(f.fee::numeric) FILTER (WHERE f.liquidity = 'MAKER' AND f.fee::numeric < 0), 0) AS rebates,
           sum(f.price * f.size) AS volume,
           sum(f.fee::numeric) AS all_fees
      FROM fills f
      JOIN subaccounts s ON s.id = f."subaccountId"
      JOIN affiliate_referred_users r ON r."refereeAddress" = s.address
     WHERE f."createdAt" > $1::timestamptz AND f."createdAt" <= $2::timestamptz
       AND f."createdAtHeight" >= r."referredAtBlock"
     GROUP BY r."affiliateAddress"
), changed AS (
    INSERT INTO affiliate_info AS a
           (address, "affiliateEarnings", "referredMakerTrades", "referredTakerTrades", "totalReferredMakerFees",
            "totalReferredTakerFees", "totalReferredMakerRebates", "totalReferredUsers", "firstReferralBlockHeight",
            "referredTotalVolume")
    SELECT r.address, coalesce(t.earnings, 0), coalesce(t.maker_trades, 0), coalesce(t.taker_trades, 0),
           coalesce(t.maker_fees, 0), coalesce(t.taker_fees, 0), coalesce(t.rebates, 0), r.users, r.first_block,
           coalesce(t.volume, 0)
      FROM referral r
      LEFT JOIN traded t ON t.address = r.address
      LEFT JOIN affiliate_info old ON old.address = r.address
     WHERE t.address IS NOT NULL OR old.address IS NULL OR old."totalReferredUsers" <> r.users
        OR old."firstReferralBlockHeight" <> r.first_block
     ORDER BY r.address
        ON CONFLICT (address) DO UPDATE
       SET "affiliateEarnings" = a."affiliateEarnings" + excluded."affiliateEarnings",
           "referredMakerTrades" = a."referredMakerTrades" + excluded."referredMakerTrades",
           "referredTakerTrades" = a."referredTakerTrades" + excluded."referredTakerTrades",
           "totalReferredMakerFees" = a."totalReferredMakerFees" + excluded."totalReferredMakerFees",
           "totalReferredTakerFees" = a."totalReferredTakerFees" + excluded."totalReferredTakerFees",
           "totalReferredMakerRebates" = a."totalReferredMakerRebates" + excluded."totalReferredMakerRebates",
           "totalReferredUsers" = excluded."totalReferredUsers",
           "firstReferralBlockHeight" = excluded."firstReferralBlockHeight",
           "referredTotalVolume" = a."referredTotalVolume" + excluded."referredTotalVolume"
    RETURNING 1
)
SELECT (SELECT coalesce(sum(maker_trades + taker_trades), 0) FROM traded) AS fills,
       (SELECT count(*) FROM changed) AS changed,
       EXISTS (SELECT FROM traded
                WHERE volume IN ('NaN', 'Infinity', '-Infinity') OR earnings IN ('NaN', 'Infinity', '-Infinity')
                   OR all_fees IN ('NaN', 'Infinity', '-Infinity')) AS bad
